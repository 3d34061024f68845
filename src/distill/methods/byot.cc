// byot: the model learns a task with exits that learn of its deepest classifier, as a recipe's step;
// distill/byot.h does the work.
#include "distill/byot.h"

#include "compress/params.h"
#include "distill/byot_params.h"

namespace penjing {

namespace {

Model apply(const Model& model, const Json& resolved, MethodContext& context, MethodReport& report) {
  distill::ByotSettings settings = read_params<distill::ByotParams>(resolved).settings();
  settings.training.threads = context.threads;
  train::TrainedModel trained = distill::byot_step(model, settings, context.work_folder, context.note);
  report.details = std::move(trained.details);
  return std::move(trained.model);
}

}  // namespace

extern const Method byot_method;
const Method byot_method = {
    "byot",
    nullptr,
    "a model learns a task with exits: its own deepest classifier teaches those behind earlier layers",
    "Behind each layer, or those of exits, stands a classifier that learns from the labels and of the "
    "deepest\n"
    "one: its distribution and its features (Zhang et al. 2019, Be Your Own Teacher). With classify and "
    "eval\n"
    "--exit-entropy easy texts leave early. As a command: penjing byot.",
    Needs::kGradients,
    list_params<distill::ByotParams>,
    apply};

}  // namespace penjing
