#pragma once

#include <functional>
#include <string>
#include <vector>

#include "distill/distill.h"

// Several tasks learned by one encoder (Liu et al. 2019, MKD), as the command line and recipes ask for it. No
// LibTorch here.
namespace penjing::distill {

struct TaskOfSeveral {
  std::string name;         // of its scores, and of its model folder
  DistillSettings distill;  // its data and its teacher; without one it is learned of the labels alone
};

struct MultitaskSettings {
  train::FinetuneSettings training;  // the model, and how all are trained; its task and data are the first's
  std::vector<TaskOfSeveral> tasks;  // at least two
  // An epoch takes as many examples as there are, each task's in proportion to (number of its examples) to
  // this power: 1: each once; 0: of every task as many.
  double size_exponent = 1;
};

// As train::finetune(): one encoder learns all tasks, each with a head of its own, a step one task's. The
// result is a folder `out` with a model a task, by their names: the same encoder, and its head.
train::FinetuneResult multitask(const MultitaskSettings& settings,
                                const std::function<void(const std::string&)>& tell,
                                const std::function<void(const train::StepLog&)>& on_step = {});
// The model of the first task; those of the others are not kept.
train::TrainedModel multitask_step(const Model& student, const MultitaskSettings& settings,
                                   const std::filesystem::path& folder,
                                   const std::function<void(const std::string&)>& tell);

}  // namespace penjing::distill
