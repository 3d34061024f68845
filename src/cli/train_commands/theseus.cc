// theseus: a student's layers replace a teacher's while they learn a task.
#include "distill/theseus.h"

#include <CLI/CLI.hpp>

#include "cli/param_options.h"
#include "cli/train_commands/run_info.h"
#include "compress/params.h"
#include "distill/theseus_params.h"

namespace penjing::cli {

namespace {

const CLI::App* command_line = nullptr;
std::string student;
TrainingOptions options;
ParamOptions params;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("STUDENT", student,
                 "the model to start from: some of the teacher's layers (penjing student carves it)")
      ->required();
  declare_training_options(app, options);
  params.declare(app, list_params<distill::TheseusParams>());
}

RunInfo info_of(const distill::TheseusSettings& settings, const std::string& groups) {
  RunInfo info = run_info("theseus", settings.training);
  const distill::Replacing& replacing = settings.replacing;
  info.settings.set("teacher", settings.teacher);
  info.settings.set("groups", groups);
  info.settings.set("replacing", replacing.kind == distill::Replacing::Kind::kLinear ? "linear" : "constant");
  info.settings.set("replacing_rate", replacing.rate);
  info.settings.set("replacing_share", replacing.share);
  info.settings.set("replacing_slope", replacing.slope);
  return info;
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("theseus", list_params<distill::TheseusParams>(), params.given(*command_line));
  const auto given = read_params<distill::TheseusParams>(resolved);
  distill::TheseusSettings settings = given.settings();
  settings.training.model = student;
  options.put_into(settings.training, common);
  return train_and_print(
      options, common, [&] { return info_of(settings, given.groups); }, settings.training.eval_split,
      [&](const Tell& tell, const OnStep& on_step) { return distill::theseus(settings, tell, on_step); });
}

}  // namespace

extern const Command theseus_command;
const Command theseus_command = {
    "theseus", "a student's layers replace a teacher's while they learn a task",
    "  penjing student bert-sst2 --layers 6 --from first --out six\n"
    "  penjing theseus six --teacher bert-sst2 --task sst2 --data glue-sst2 --out small --epochs 5\n"
    "  penjing theseus six --teacher bert-sst2 --task sst2 --data glue-sst2 --out small --replacing constant "
    "--replacing-rate 0.5",
    declare, run};

}  // namespace penjing::cli
