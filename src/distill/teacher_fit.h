#pragma once

#include <string>
#include <string_view>

#include "model/model.h"
#include "text/tokenizer.h"

// What a student asks of a teacher before any work. No LibTorch here.
namespace penjing::distill {

// Outputs of the task's head; 0: there is none.
int64_t logits_of(const Model& model);

// SHA-256 of the weights, by name in the order of the checkpoint, and of `more`.
std::string digest_of_weights(const Model& model, std::string_view more = "");

// Same pieces, same numbers.
bool have_same_tokens(const Tokenizer& student, const Tokenizer& teacher);
// kUnsupported unless they have.
void require_same_tokens(const Tokenizer& student, const Tokenizer& teacher);
// The teacher's head and classes are those that the student learns. kInput otherwise.
void require_same_classes(const Model& student, const Model& teacher);

}  // namespace penjing::distill
