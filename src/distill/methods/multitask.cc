// multitask: one encoder learns several tasks, as a recipe's step; distill/multitask.h does the work.
#include "distill/multitask.h"

#include "compress/params.h"
#include "distill/multitask_params.h"

namespace penjing {

namespace {

Model apply(const Model& model, const Json& resolved, MethodContext& context, MethodReport& report) {
  distill::MultitaskSettings settings = read_params<distill::MultitaskParams>(resolved).settings();
  settings.training.threads = context.threads;
  for (distill::TaskOfSeveral& task : settings.tasks) task.distill.new_predictor = context.new_predictor;
  train::TrainedModel trained = distill::multitask_step(model, settings, context.work_folder, context.note);
  report.details = std::move(trained.details);
  return std::move(trained.model);
}

}  // namespace

extern const Method multitask_method;
const Method multitask_method = {
    "multitask",
    nullptr,
    "one encoder learns several tasks, each with a head and a teacher of its own",
    "As MKD does (Liu et al. 2019); a step is one task's. The model of the first task is the result, those "
    "of "
    "the\nothers are not kept: the command penjing multitask writes them all.",
    Needs::kTeacher,
    list_params<distill::MultitaskParams>,
    apply};

}  // namespace penjing
