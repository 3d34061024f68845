#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/output_file.h"
#include "base/progress.h"
#include "train/event_file.h"

namespace penjing::train {

// What a step of training tells; also of several steps at once, when not each is logged.
struct LoggedStep {
  int64_t step = 0;  // steps of the optimizer done, this one included: from 1
  double epoch = 0;  // share of the data seen, 1.5 in the middle of the second epoch
  double loss = 0;   // mean since the last logged step
  double learning_rate = 0;
  std::optional<double> gradient_norm;  // before clipping
  std::optional<double> scale;          // of the loss, in FP16
  int64_t tokens = 0;                   // since the last logged step, padding not counted
  double seconds = 0;                   // since the last logged step
  // What else the objective tells ("kd": a part of its loss), means since the last logged step.
  std::map<std::string, double> details = {};
};

struct TrainLogOptions {
  // The step of the checkpoint that the run goes on from; 0 when it was killed before the first one.
  std::optional<int64_t> resumed_after;
  int64_t total_steps = Progress::kUnknown;  // for the time left
  std::string label = "train";               // of the progress report
  bool event_file = true;                    // <folder>/events.out.tfevents.…
};

// The record of a training run, in its folder: `train.jsonl`, an event file for TensorBoard, and the progress
// report (loss, rate, time left). Each line of train.jsonl is a JSON object with "step"; a number that is not
// finite is null:
//   {"step":20,"epoch":0.25,"loss":0.41,"learning_rate":2e-05,"gradient_norm":1.7,"scale":65536,"tokens":4096,
//    "seconds":1.5,"tokens_per_second":2730.7,"elapsed":31.2}      elapsed: sum of seconds, earlier
//    processes' too
//   {"step":20,"event":"eval","split":"dev","scores":{"accuracy":0.91}}
//   {"step":20,"event":"overflow",…}  and "start", "resume", "checkpoint", "end": what the caller adds
// A run that goes on from step N drops the lines of later steps and a torn last line (the file is replaced
// whole), so that the file reads as one uninterrupted run; the line "resume" tells where. Not thread-safe;
// with several ranks, rank 0 alone has one.
class TrainLog {
 public:
  // Creates `folder` when absent. kInput: train.jsonl is there and the run is not resumed. kFormat: a line of
  // it is not such an object.
  TrainLog(const std::filesystem::path& folder, TrainLogOptions options);

  void log_step(const LoggedStep& step);
  // Scores on a split: "dev", "test". The event file has them as eval/<split>/<name>.
  struct Score {
    std::string name;
    double value = 0;
  };
  void log_scores(int64_t step, double epoch, std::string_view split, const std::vector<Score>& scores);
  // Something that happened at a step: "overflow", "checkpoint", "early_stop". `details` is an object; its
  // members follow "event".
  void log_event(int64_t step, std::string_view event, const Json& details = Json::object());
  // The resolved settings, once at the start: the line "settings", and a table under TensorBoard's "Text".
  void log_settings(const Json& settings);

  int64_t last_step() const { return last_step_; }  // that log_step() was given, or that the run goes on from
  double elapsed() const { return elapsed_; }       // seconds of the steps logged, earlier processes' too
  const std::filesystem::path& path() const { return lines_->path(); }
  EventFile* event_file() { return events_ ? &*events_ : nullptr; }  // for what else is to be drawn

 private:
  void append(const Json& line);
  int64_t last_step_ = 0;
  double elapsed_ = 0;
  std::optional<AppendFile> lines_;
  std::optional<EventFile> events_;
  std::optional<Progress> progress_;
};

}  // namespace penjing::train
