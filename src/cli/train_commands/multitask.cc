// multitask: one encoder learns several tasks.
#include "distill/multitask.h"

#include <CLI/CLI.hpp>

#include "cli/method_context.h"
#include "cli/param_options.h"
#include "cli/train_commands/run_info.h"
#include "compress/params.h"
#include "distill/multitask_params.h"

namespace penjing::cli {

namespace {

const CLI::App* command_line = nullptr;
std::string student;
TrainingOptions options;
ParamOptions params;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("STUDENT", student, "the model to start from")->required();
  declare_training_options(app, options);
  params.declare(app, list_params<distill::MultitaskParams>());
}

RunInfo info_of(const distill::MultitaskSettings& settings) {
  RunInfo info = run_info("multitask", settings.training);
  info.task.clear();
  Json tasks = Json::object();
  for (const distill::TaskOfSeveral& task : settings.tasks) {
    const train::FinetuneSettings& training = task.distill.training;
    info.task += (info.task.empty() ? "" : ",") + training.task;
    tasks.set(task.name, Json::object({{"data", training.data.data.string()},
                                       {"teacher", task.distill.teacher},
                                       {"losses", task.distill.losses},
                                       {"label_weight", task.distill.label_weight},
                                       {"params", training.params}}));
  }
  info.settings.set("tasks", tasks);
  info.settings.set("size_exponent", settings.size_exponent);
  return info;
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("multitask", list_params<distill::MultitaskParams>(), params.given(*command_line));
  distill::MultitaskSettings settings = read_params<distill::MultitaskParams>(resolved).settings();
  settings.training.model = student;
  options.put_into(settings.training, common);
  for (distill::TaskOfSeveral& task : settings.tasks)
    task.distill.new_predictor = predictor_maker(settings.training.threads);
  return train_and_print(
      options, common, [&] { return info_of(settings); }, settings.training.eval_split,
      [&](const Tell& tell, const OnStep& on_step) { return distill::multitask(settings, tell, on_step); });
}

}  // namespace

extern const Command multitask_command;
const Command multitask_command = {
    "multitask", "one encoder learns several tasks, each with a head and a teacher of its own",
    "  penjing multitask bilstm --tasks sst2,mrpc --data glue-sst2 glue-mrpc --teacher bert-sst2,bert-mrpc "
    "--out "
    "both\n"
    "  penjing eval both/mrpc --task mrpc --data glue-mrpc",
    declare, run};

}  // namespace penjing::cli
