#include "cli/recipe_services.h"

#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "base/output_file.h"
#include "cli/bench_work.h"
#include "cli/method_context.h"
#include "cli/recorded_run.h"
#include "cli/task_model.h"
#include "report/run_report.h"

namespace penjing::cli {

namespace {

constexpr const char* kTimedShape = "1x32";

OpenedModel open_model(const std::filesystem::path& folder, const CommonOptions& common,
                       const std::shared_ptr<ThreadPool>& pool) {
  struct Owner {
    LoadedModel loaded;
    Work work;
    OutputKind kind = OutputKind::kHidden;
  };
  const auto owner = std::make_shared<Owner>();
  owner->loaded = load_model(folder.string(), common, {}, pool);
  const Shape shape = parse_shapes(kTimedShape, owner->loaded.predictor->max_length()).front();
  owner->work = make_work(folder.string(), *owner->loaded.tokenizer, shape);
  for (const OutputKind kind : {OutputKind::kClassLogits, OutputKind::kEmbedding}) {
    if (owner->kind == OutputKind::kHidden && owner->loaded.predictor->supports(kind)) owner->kind = kind;
  }
  OpenedModel opened;
  opened.tasks = make_task_model(owner->loaded, folder.filename().string());
  opened.time_once = [owner] {
    Request request;
    request.kind = owner->kind;
    const auto begin = std::chrono::steady_clock::now();
    (void)owner->loaded.predictor->predict(owner->work.batch, request);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  };
  opened.owner = owner;
  return opened;
}

RunInfo run_info(const Recipe& recipe, const RunFolder& folder, int threads) {
  RunInfo info;
  info.kind = "run";
  info.name = std::filesystem::absolute(folder.path()).lexically_normal().filename().string();
  info.model = recipe.model;
  for (const RecipeTask& task : recipe.tasks) {
    info.task += (info.task.empty() ? "" : " ") + task.task;
    info.data += (info.data.empty() ? "" : " ") + task.data.string();
  }
  info.seed = static_cast<int64_t>(recipe.seed);
  info.settings = Json::object({{"steps", *to_json(recipe).find("steps")}});
  info.inputs = hash_inputs(recipe.model, {});
  info.threads = threads;
  info.output = folder.path().string();
  return info;
}

void record_scores(RecordedRun& record, const Measurement& last) {
  for (const auto& [name, score] : last.scores) {
    record.add_score({name, "", score.value, score.interval.low, score.interval.high});
  }
  record.add_score({"size_ratio", "", last.size_ratio, {}, {}});
  record.add_score({"speed_ratio", "", last.speed.ratio, last.speed.interval.low, last.speed.interval.high});
}

}  // namespace

int run_in_folder(const Recipe& recipe, const RunFolder& folder, const CommonOptions& common) {
  const auto pool = std::make_shared<ThreadPool>(common.threads);
  RunServices services;
  services.pool = pool.get();
  services.make_context = [pool](const Model& model, const CalibrationSource& source) {
    return make_method_context(model, source, pool);
  };
  services.open = [&](const std::filesystem::path& model) { return open_model(model, common, pool); };
  services.note = [](const std::string& line) { log_info("{}", line); };
  // Where it goes on or is measured anew, it is the run that it was.
  const auto record = record_run(run_info(recipe, folder, pool->num_threads()), folder.path(), true);
  const RunResult result = [&] {
    try {
      return run_recipe(recipe, folder, services);
    } catch (const Error& error) {
      record->fail_because(error.what());
      throw;
    }
  }();
  record_scores(*record, *result.state.steps.back().measured);
  record->done();
  const Json report = run_report(recipe, result);
  write_text_file(folder.path() / "report.json", report.dump(2) + "\n");
  write_text_file(folder.path() / "report.html", run_page(recipe, result));
  if (common.json) {
    print_json(report);
  } else {
    print_text(run_table(recipe, result));
    const auto model = (folder.path() / "model").string();
    print_text(fmt::format("model: {}\nreport: {}\n", model, (folder.path() / "report.html").string()));
  }
  return result.goals_met ? kDone : kGoalNotMet;
}

}  // namespace penjing::cli
