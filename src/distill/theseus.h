#pragma once

#include <functional>
#include <string>
#include <vector>

#include "train/finetune.h"

// BERT-of-Theseus (Xu et al. 2020): compression by progressive module replacing, as the command line and
// recipes ask for it. No LibTorch here.
namespace penjing::distill {

// The probability that a module is replaced in a step.
//   constant   `rate` in the first `share` of the training
//   linear     min(1, slope t + rate) at step t from 0; slope 0: such that it reaches 1 after `share`
// then 1: the student is fine-tuned as a whole.
struct Replacing {
  enum class Kind { kConstant, kLinear } kind = Kind::kLinear;
  double rate = 0.3, slope = 0, share = 0.5;
  // progress: share of the training's steps before `step`.
  double probability(int64_t step, double progress) const;
};

struct TheseusSettings {
  train::FinetuneSettings training;  // of the student: model, task, data, loop
  std::string teacher;
  std::vector<int64_t> groups;  // of the teacher's layers, one group a layer of the student; empty: equal
  Replacing replacing;
};

// As train::finetune(): the student's layers learn in their places within the frozen teacher, by the task's
// loss alone; embeddings and heads, which student and teacher share, stay as they are. kInput for models that
// do not fit.
train::FinetuneResult theseus(const TheseusSettings& settings,
                              const std::function<void(const std::string&)>& tell,
                              const std::function<void(const train::StepLog&)>& on_step = {});
train::TrainedModel theseus_step(const Model& student, const TheseusSettings& settings,
                                 const std::filesystem::path& folder,
                                 const std::function<void(const std::string&)>& tell);

}  // namespace penjing::distill
