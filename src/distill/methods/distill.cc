// distill: the model learns a task from a teacher, as a recipe's step; distill/distill.h does the work.
#include "distill/distill.h"

#include "compress/params.h"
#include "distill/distill_params.h"

namespace penjing {

namespace {

Model apply(const Model& model, const Json& resolved, MethodContext& context, MethodReport& report) {
  auto params = read_params<distill::DistillParams>(resolved);
  if (params.teacher.empty()) params.teacher = context.first_model.string();
  distill::DistillSettings settings = params.settings();
  settings.training.threads = context.threads;
  settings.new_predictor = context.new_predictor;
  train::TrainedModel trained = distill::distill_step(model, settings, context.work_folder, context.note);
  report.details = std::move(trained.details);
  return std::move(trained.model);
}

}  // namespace

extern const Method distill_method;
const Method distill_method = {
    "distill",
    nullptr,
    "the model learns a task from a teacher",
    "Beside the labels the student learns what the teacher says: soft labels, hidden states, attention, "
    "relations\n"
    "(Hinton et al. 2015 and after; docs/distillation.md). As a command: penjing distill.",
    Needs::kTeacher,
    list_params<distill::DistillParams>,
    apply};

}  // namespace penjing
