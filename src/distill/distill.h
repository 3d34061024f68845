#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "compress/method.h"
#include "train/finetune.h"

// Distillation as the command line and recipes ask for it. No LibTorch here.
namespace penjing::distill {

// What several teachers count for an example, beside their weights (distill/teachers.h).
enum class Gating { kNone, kConfidence, kEntropy };

// How a teacher's answers are kept between runs: as they are, vectors and scores rounded to BF16, of the
// logits of many classes the largest (distill/top_logits.h), or not.
enum class KeptAnswers { kExact, kBf16, kTop, kNone };

struct DistillSettings {
  train::FinetuneSettings training;  // of the student: model, task, data, loop
  std::string teacher;  // a model; or a file with its answers (.npy, .jsonl); several with commas between
  std::vector<double> teacher_weights;  // one each; empty: equal
  Gating gating = Gating::kNone;
  // Weight of the task's own loss, on the labels; -1: 0.1, or 0 for texts without labels.
  double label_weight = -1;
  // A plan (distill/plan.h); empty: soft labels for classes (kd, weight 0.9), else the squared error of
  // logits or sentence embeddings; for a table (static) contrastive.
  Json losses = Json::array();
  // A teacher's answers lie in $PENJING_CACHE/teacher for the runs that follow, where they take no more than
  // so many GB (distill/kept_answers.h).
  KeptAnswers answers = KeptAnswers::kExact;
  double answers_gb = 4;
  int64_t answers_top = 8;  // of kTop; of no more than twice as many and one classes all logits are kept
  // The inference runtime, for teachers with quantized weights (distill/runtime_teacher.h); empty: the
  // trainer asks them too.
  NewPredictor new_predictor;
};

// As train::finetune(): the student is trained beside its teacher. kInput for a plan that does not fit the
// two.
train::FinetuneResult distill(const DistillSettings& settings,
                              const std::function<void(const std::string&)>& tell,
                              const std::function<void(const train::StepLog&)>& on_step = {});
train::TrainedModel distill_step(const Model& student, const DistillSettings& settings,
                                 const std::filesystem::path& folder,
                                 const std::function<void(const std::string&)>& tell);

// The plan as a table, with every default written out; reads the models' configs, trains nothing.
std::string explain(const DistillSettings& settings);

}  // namespace penjing::distill
