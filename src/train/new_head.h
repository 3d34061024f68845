#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"

namespace penjing::train {

// Makes `model` one of the class that transformers calls <Family>For<task> ("ForSequenceClassification"):
// sets config.json's architectures, id2label and label2id (and problem_type where given), describes it anew,
// takes the tensors of other heads and the Sentence-Transformers modules away, and adds what the head lacks:
// weights normal with deviation initializer_range, drawn from (seed, tensor name), biases 0. A head that fits
// already is kept.
void give_head(Model& model, const std::string& task, const std::vector<std::string>& labels,
               const std::string& problem_type, uint64_t seed);

// A tensor of normal numbers of the deviation, from (seed, name).
Tensor draw_normal(const Shape& shape, double deviation, uint64_t seed, const std::string& name);

}  // namespace penjing::train
