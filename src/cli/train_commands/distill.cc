// distill: a student learns a task from a teacher.
#include "distill/distill.h"

#include <CLI/CLI.hpp>

#include "base/progress.h"
#include "cli/method_context.h"
#include "cli/param_options.h"
#include "cli/train_commands/run_info.h"
#include "compress/params.h"
#include "distill/distill_params.h"
#include "distill/loss_kind.h"
#include "train/launch_environment.h"

namespace penjing::cli {

namespace {

const CLI::App* command_line = nullptr;
std::string student;
bool only_explain = false;
TrainingOptions options;
ParamOptions params;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("STUDENT", student, "the model to start from (penjing student carves one)")->required();
  declare_training_options(app, options);
  app.add_flag("--explain", only_explain, "print the plan, train nothing");
  params.declare(app, list_params<distill::DistillParams>());
  std::string losses = app.get_footer() + "\nLosses:\n";
  for (const distill::LossKind* kind : distill::all_losses()) {
    losses += fmt::format("  {:14} {} ({})\n", kind->name, kind->summary, kind->source);
    for (const ParamInfo& info : kind->params()) {
      losses += fmt::format("  {:14}   {} = {}: {}\n", "", info.name, info.default_value.dump(), info.help);
    }
  }
  app.footer(losses);
}

RunInfo info_of(const distill::DistillSettings& settings) {
  RunInfo info = run_info("distill", settings.training);
  info.settings.set("teacher", settings.teacher);
  if (!settings.teacher_weights.empty()) {
    Json weights = Json::array();
    for (const double weight : settings.teacher_weights) weights.push_back(weight);
    info.settings.set("teacher_weights", weights);
  }
  if (settings.gating != distill::Gating::kNone) {
    info.settings.set("gating", settings.gating == distill::Gating::kConfidence ? "confidence" : "entropy");
  }
  info.settings.set("losses", settings.losses);
  info.settings.set("label_weight", settings.label_weight);
  return info;
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("distill", list_params<distill::DistillParams>(), params.given(*command_line));
  distill::DistillSettings settings = read_params<distill::DistillParams>(resolved).settings();
  train::FinetuneSettings& s = settings.training;
  s.model = student;
  options.put_into(s, common);
  settings.new_predictor = predictor_maker(s.threads);
  if (only_explain) {
    print_text(distill::explain(settings));
    return kDone;
  }
  if (train::read_launch_environment().rank != 0) set_progress_style(ProgressStyle::kNone);
  return train_and_print(
      options, common, [&] { return info_of(settings); }, s.eval_split,
      [&](const Tell& tell, const OnStep& on_step) { return distill::distill(settings, tell, on_step); });
}

}  // namespace

extern const Command distill_command;
const Command distill_command = {
    "distill", "a student learns a task from a teacher",
    "  penjing distill student --teacher bert-sst2 --task sst2 --data glue-sst2 --out small\n"
    "  penjing distill student --teacher bert-sst2 --task sst2 --data glue-sst2 --losses kd,pkd --explain\n"
    "  penjing distill student --teacher scores.npy --task stsb --data glue-stsb --out small",
    declare, run};

}  // namespace penjing::cli
