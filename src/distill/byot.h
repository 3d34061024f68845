#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/exits.h"
#include "train/finetune.h"

// Self-distillation with exits (Zhang et al. 2019, "Be Your Own Teacher"), as the command line and recipes
// ask for it. No LibTorch here.
namespace penjing::distill {

// What the exits learn; the deepest classifier learns the task.
struct ExitLearning {
  std::vector<int64_t>
      layers;  // how many lie before each exit, ascending; empty: behind every one but the last
  ExitInput input = ExitInput::kMean;  // the papers: the first token
  double soft_share = 0.3;  // of the deepest classifier's distribution, the rest of the labels (the paper's
                            // alpha)
  double temperature = 3;   // of that distribution
  double feature_weight = 0.1;  // of the distance from the deepest classifier's features (the paper's lambda)
};

struct ByotSettings {
  train::FinetuneSettings training;
  ExitLearning exits;
};

// "all", or numbers of layers with commas between.
std::vector<int64_t> read_exit_layers(const std::string& text);

// As train::finetune(); the result has exits (model/exits.h).
train::FinetuneResult byot(const ByotSettings& settings, const std::function<void(const std::string&)>& tell,
                           const std::function<void(const train::StepLog&)>& on_step = {});
train::TrainedModel byot_step(const Model& model, const ByotSettings& settings,
                              const std::filesystem::path& folder,
                              const std::function<void(const std::string&)>& tell);

}  // namespace penjing::distill
