#include "cli/train_commands/training_command.h"

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "train/evaluated.h"
#include "train/step_estimate.h"

namespace penjing::cli {

void declare_training_options(CLI::App& app, TrainingOptions& options) {
  app.add_option("-o,--out", options.out, "model folder to write; logs and checkpoints go to OUT.training")
      ->required();
  app.add_flag("--resume", options.resume, "go on with the run that was begun at --out");
  app.add_flag("--dry-run", options.dry_run,
               "take a few steps, tell how long all will take and what disk and memory, write nothing");
  app.add_option("--timeout", options.timeout,
                 "several ranks (docs/distributed.md): seconds that one may be late")
      ->capture_default_str();
  app.add_option("--bucket-mb", options.bucket_megabytes,
                 "several ranks: megabytes of gradients sent together")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

namespace {

// What --dry-run tells.
void print_rehearsal(const train::StepEstimate& step, int64_t steps, int64_t checkpoint_bytes, bool as_json) {
  const double all = step.seconds() * static_cast<double>(steps);
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const int64_t memory = int64_t{usage.ru_maxrss} << 10;
  if (as_json) {
    print_json(Json::object({{"steps", steps},
                             {"measured_steps", step.steps()},
                             {"seconds_per_step", step.seconds()},
                             {"tokens_per_second", step.tokens_per_second()},
                             {"seconds", all},
                             {"checkpoint_bytes", checkpoint_bytes},
                             {"peak_memory_bytes", memory}}));
    return;
  }
  print_text(fmt::format(
      "{} steps at {:.3f} s ({} measured, {:.0f} tokens a second): about {}, without evaluations\n"
      "disk: {:.2f} GB of checkpoints; memory so far: {:.2f} GB\n"
      "nothing was written\n",
      steps, step.seconds(), step.steps(), step.tokens_per_second(), format_seconds(all),
      static_cast<double>(checkpoint_bytes) / 1e9, static_cast<double>(memory) / 1e9));
}

}  // namespace

bool run_training(const TrainingOptions& options, const CommonOptions& common,
                  const std::function<RunInfo()>& info, const std::string& eval_split,
                  const std::function<train::LoopResult(const Tell&, const OnStep&)>& work) {
  if (options.dry_run) {
    train::StepEstimate estimate;
    int64_t steps = 0;
    bool told = false;  // of several ranks the first alone
    const train::LoopResult result = work(
        [&](const std::string& text) {
          told = true;
          if (!common.json && !common.quiet) print_text(text);
        },
        [&](const train::StepLog& step) {
          estimate.add(step);
          steps = step.total;
        });
    if (told) print_rehearsal(estimate, steps, result.checkpoint_bytes, common.json);
    return false;
  }
  std::unique_ptr<RecordedRun> record;
  const auto tell = [&](const std::string& text) {
    if (!record) record = record_run(info(), options.out + ".training", options.resume);
    if (!common.json && !common.quiet) print_text(text);
  };
  const auto on_step = [&](const train::StepLog& step) {
    if (record && step.step % 1000 == 0) record->sample_energy();
  };
  train::LoopResult result;
  try {
    result = work(tell, on_step);
  } catch (const Error& error) {
    if (record) record->fail_because(error.what());
    throw;
  }
  if (!record) return true;  // not the first of several ranks
  if (!result.evaluations.empty()) {
    for (const auto& [name, value] : result.evaluations.back().scores) {
      record->add_score({name, eval_split, value, {}, {}});
    }
  }
  record->done();
  return true;
}

Json training_json(const TrainingOptions& options, const train::LoopResult& result) {
  return Json::object(
      {{"out", options.out},
       {"training_folder", options.out + ".training"},
       {"steps", result.steps},
       {"first_step", result.first_step},
       {"seconds", result.seconds},
       {"tokens", result.tokens},
       {"tokens_per_second", static_cast<double>(result.tokens) / std::max(result.seconds, 1e-9)},
       {"loss", result.loss},
       {"stopped_early", result.stopped_early},
       {"evaluations", train::to_json(result.evaluations)}});
}

std::string evaluations_table(const train::LoopResult& result) {
  if (result.evaluations.empty()) return "";
  TextTable table({"step", "epoch", "score", "value"}, "rrlr");
  for (const train::Evaluated& evaluated : result.evaluations) {
    for (const auto& [name, value] : evaluated.scores) {
      table.add_row({std::to_string(evaluated.step), fmt::format("{:.2f}", evaluated.epoch), name,
                     fmt::format("{:.4f}", value)});
    }
  }
  return table.str();
}

std::string training_summary(const TrainingOptions& options, const train::LoopResult& result) {
  return fmt::format(
      "{}: {} steps, last epoch's loss {:.4f}, {:.0f} s of training, {:.0f} tokens a second{}\n", options.out,
      result.steps, result.loss, result.seconds,
      static_cast<double>(result.tokens) / std::max(result.seconds, 1e-9),
      result.stopped_early ? "; stopped early" : "");
}

int train_and_print(const TrainingOptions& options, const CommonOptions& common,
                    const std::function<RunInfo()>& info, const std::string& eval_split,
                    const std::function<train::FinetuneResult(const Tell&, const OnStep&)>& work) {
  train::FinetuneResult result;
  const bool trained =
      run_training(options, common, info, eval_split, [&](const Tell& tell, const OnStep& on_step) {
        result = work(tell, on_step);
        return result.loop;
      });
  if (!trained || result.rank != 0) return kDone;
  if (common.json) {
    print_json(training_json(options, result.loop));
  } else {
    print_text(evaluations_table(result.loop) + training_summary(options, result.loop));
  }
  return kDone;
}

}  // namespace penjing::cli
