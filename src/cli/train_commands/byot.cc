// byot: a model learns a task with exits that learn of its deepest classifier.
#include "distill/byot.h"

#include <CLI/CLI.hpp>

#include "cli/param_options.h"
#include "cli/train_commands/run_info.h"
#include "compress/params.h"
#include "distill/byot_params.h"

namespace penjing::cli {

namespace {

const CLI::App* command_line = nullptr;
std::string model;
TrainingOptions options;
ParamOptions params;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("MODEL", model, "the model to train")->required();
  declare_training_options(app, options);
  params.declare(app, list_params<distill::ByotParams>());
}

RunInfo info_of(const distill::ByotSettings& settings, const distill::ByotParams& given) {
  RunInfo info = run_info("byot", settings.training);
  info.settings.set("exits", given.exits);
  info.settings.set("exit_input", given.exit_input);
  info.settings.set("soft_share", settings.exits.soft_share);
  info.settings.set("temperature", settings.exits.temperature);
  info.settings.set("feature_weight", settings.exits.feature_weight);
  return info;
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("byot", list_params<distill::ByotParams>(), params.given(*command_line));
  const auto given = read_params<distill::ByotParams>(resolved);
  distill::ByotSettings settings = given.settings();
  settings.training.model = model;
  options.put_into(settings.training, common);
  return train_and_print(
      options, common, [&] { return info_of(settings, given); }, settings.training.eval_split,
      [&](const Tell& tell, const OnStep& on_step) { return distill::byot(settings, tell, on_step); });
}

}  // namespace

extern const Command byot_command;
const Command byot_command = {
    "byot", "a model learns a task with exits, which its deepest classifier teaches",
    "  penjing byot minilm --task sst2 --data glue-sst2 --out exits\n"
    "  penjing byot bert-base --exits 3,6,9 --task sst2 --data glue-sst2 --out exits\n"
    "  penjing eval exits --task sst2 --data glue-sst2 --split dev --exit-entropy 0.3",
    declare, run};

}  // namespace penjing::cli
