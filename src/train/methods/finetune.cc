// finetune: supervised training as a recipe's step; train/finetune.h does the work.
#include "train/finetune.h"

#include "compress/params.h"
#include "train/finetune_params.h"

namespace penjing {

namespace {

Model apply(const Model& model, const Json& resolved, MethodContext& context, MethodReport& report) {
  train::FinetuneSettings settings = read_params<train::FinetuneParams>(resolved).settings();
  settings.threads = context.threads;
  train::TrainedModel trained = train::finetune_step(model, settings, context.work_folder, context.note);
  report.details = std::move(trained.details);
  return std::move(trained.model);
}

}  // namespace

extern const Method finetune_method;
const Method finetune_method = {
    "finetune",
    nullptr,
    "trains the model for a task on labelled data",
    "All weights are learned on the task's examples (Devlin et al. 2018, section 4), or those that `group` "
    "and\n"
    "`freeze_encoder` leave. With `quantize_aware` the result is quantized, and trained for it.\n"
    "As a command: penjing finetune.",
    Needs::kGradients,
    list_params<train::FinetuneParams>,
    apply};

}  // namespace penjing
