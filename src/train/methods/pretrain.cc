// pretrain: masked-LM training on texts of a domain as a recipe's step; train/pretrain.h does the work.
#include "train/pretrain.h"

#include "compress/params.h"
#include "train/pretrain_params.h"

namespace penjing {

namespace {

Model apply(const Model& model, const Json& resolved, MethodContext& context, MethodReport& report) {
  train::PretrainSettings settings = read_params<train::PretrainParams>(resolved).settings();
  settings.threads = context.threads;
  train::TrainedModel trained = train::pretrain_step(model, settings, context.work_folder, context.note);
  report.details = std::move(trained.details);
  return std::move(trained.model);
}

}  // namespace

extern const Method pretrain_method;
const Method pretrain_method = {
    "pretrain",
    nullptr,
    "goes on with masked-LM training, on texts of a domain",
    "Tokens are hidden and guessed (Devlin et al. 2018, section 3.1; whole words), which needs no labels.\n"
    "As a command, also for fresh models: penjing pretrain.",
    Needs::kGradients,
    list_params<train::PretrainParams>,
    apply};

}  // namespace penjing
