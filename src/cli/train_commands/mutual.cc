// mutual: several students learn a task together and from each other.
#include "distill/mutual.h"

#include <CLI/CLI.hpp>

#include "cli/param_options.h"
#include "cli/train_commands/run_info.h"
#include "compress/params.h"
#include "distill/mutual_params.h"

namespace penjing::cli {

namespace {

const CLI::App* command_line = nullptr;
std::string student;
TrainingOptions options;
ParamOptions params;

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("STUDENT", student, "the model that the peers start from")->required();
  declare_training_options(app, options);
  params.declare(app, list_params<distill::MutualParams>());
}

RunInfo info_of(const distill::MutualSettings& settings) {
  RunInfo info = run_info("mutual", settings.training);
  info.settings.set("peers", settings.peers);
  Json others = Json::array();
  for (const std::string& other : settings.others) others.push_back(other);
  info.settings.set("with", others);
  info.settings.set("mutual_weight", settings.weight);
  info.settings.set("temperature", settings.temperature);
  return info;
}

int run(const CommonOptions& common) {
  const Json resolved =
      resolve_params("mutual", list_params<distill::MutualParams>(), params.given(*command_line));
  distill::MutualSettings settings = read_params<distill::MutualParams>(resolved).settings();
  settings.training.model = student;
  options.put_into(settings.training, common);
  distill::MutualResult result;
  const bool trained = run_training(
      options, common, [&] { return info_of(settings); }, settings.training.eval_split,
      [&](const Tell& tell, const OnStep& on_step) {
        result = distill::mutual(settings, tell, on_step);
        return result.training.loop;
      });
  if (!trained) return kDone;
  if (common.json) {
    Json json = training_json(options, result.training.loop);
    Json scores = Json::array();
    for (const double score : result.scores) scores.push_back(score);
    json.set("peers", scores);
    json.set("best_peer", result.best + 1);
    print_json(json);
    return kDone;
  }
  std::string peers;
  for (std::size_t i = 0; i < result.scores.size(); ++i) {
    const bool best = static_cast<int64_t>(i) == result.best;
    peers += fmt::format("peer {}: {:.4f}{}\n", i + 1, result.scores[i],
                         best ? ", the result" : fmt::format(", {}.peer-{}", options.out, i + 1));
  }
  print_text(evaluations_table(result.training.loop) + peers +
             training_summary(options, result.training.loop));
  return kDone;
}

}  // namespace

extern const Command mutual_command;
const Command mutual_command = {
    "mutual", "several students learn a task together and from each other",
    "  penjing mutual small --task sst2 --data glue-sst2 --peers 3 --out best\n"
    "  penjing mutual small --task sst2 --data glue-sst2 --with other-small --out best",
    declare, run};

}  // namespace penjing::cli
