#pragma once

#include "model/model.h"
#include "text/tokenizer.h"

// What a student asks of a teacher before any work. No LibTorch here.
namespace penjing::distill {

// Outputs of the task's head; 0: there is none.
int64_t logits_of(const Model& model);

// The teacher reads the student's tokens: same pieces, same numbers. kUnsupported otherwise.
void require_same_tokens(const Tokenizer& student, const Tokenizer& teacher);
// The teacher's head and classes are those that the student learns. kInput otherwise.
void require_same_classes(const Model& student, const Model& teacher);

}  // namespace penjing::distill
