#pragma once

#include <functional>
#include <string>
#include <vector>

#include "train/finetune.h"

// Deep mutual learning (Zhang et al. 2018), as the command line and recipes ask for it. No LibTorch here.
namespace penjing::distill {

struct MutualSettings {
  train::FinetuneSettings training;  // model: the first peer
  int64_t peers = 2;                 // in all, of the same model, with heads and dropout of their own
  std::vector<std::string> others;   // or these models beside the first
  double weight = 1, temperature = 1;
};

struct MutualResult {
  train::FinetuneResult training;
  std::vector<double> scores;  // the task's main one, of each peer; empty: there was no evaluation
  int64_t best = 0;            // the peer that is the result
};

// As train::finetune(): several students learn a task together, each from the labels and from what the others
// say. The best is written at `out`, the others beside it: out + ".peer-2", ... by their numbers from 1.
MutualResult mutual(const MutualSettings& settings, const std::function<void(const std::string&)>& tell,
                    const std::function<void(const train::StepLog&)>& on_step = {});
// The others are not kept.
train::TrainedModel mutual_step(const Model& student, const MutualSettings& settings,
                                const std::filesystem::path& folder,
                                const std::function<void(const std::string&)>& tell);

}  // namespace penjing::distill
