// mutual: several students learn a task together, as a recipe's step; distill/mutual.h does the work.
#include "distill/mutual.h"

#include "compress/params.h"
#include "distill/mutual_params.h"

namespace penjing {

namespace {

Model apply(const Model& model, const Json& resolved, MethodContext& context, MethodReport& report) {
  distill::MutualSettings settings = read_params<distill::MutualParams>(resolved).settings();
  settings.training.threads = context.threads;
  train::TrainedModel trained = distill::mutual_step(model, settings, context.work_folder, context.note);
  report.details = std::move(trained.details);
  return std::move(trained.model);
}

}  // namespace

extern const Method mutual_method;
const Method mutual_method = {
    "mutual",
    nullptr,
    "several students learn a task together and from each other",
    "Each learns from the labels and from what the others say (Zhang et al. 2018, deep mutual learning); no\n"
    "teacher is needed. The best one is the result. As a command: penjing mutual.",
    Needs::kGradients,
    list_params<distill::MutualParams>,
    apply};

}  // namespace penjing
