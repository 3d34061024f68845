#include "train/train_log.h"

#include <cmath>
#include <fstream>

#include "base/error.h"

namespace penjing::train {

namespace {

struct KeptLines {
  double elapsed = 0;      // of the last step kept
  bool has_later = false;  // lines of later steps, or a torn one
};

// Goes through the lines of `path`; those of steps up to `last` go to `out`.
KeptLines keep_lines(const std::filesystem::path& path, int64_t last, OutputFile& out) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorKind::kIo, "{}: cannot open", path.string());
  KeptLines kept;
  std::string text;
  for (int64_t number = 1; std::getline(file, text); ++number) {
    if (file.eof()) {  // no newline at its end: the process was killed while it wrote
      kept.has_later = true;
      break;
    }
    const std::string where = fmt::format("{}, line {}", path.string(), number);
    const Json line = Json::parse(text, where);
    const Json* step = line.find("step");
    if (step == nullptr) fail(ErrorKind::kFormat, "{}: no \"step\"", where);
    if (step->as_int(where + ": step") > last) {
      kept.has_later = true;
      continue;
    }
    if (const Json* elapsed = line.find("elapsed"); elapsed != nullptr)
      kept.elapsed = elapsed->as_double(where + ": elapsed");
    out.write(text);
    out.write("\n");
  }
  if (file.bad()) fail(ErrorKind::kIo, "{}: cannot read", path.string());
  return kept;
}

std::string settings_table(const Json& settings) {
  std::string table = "| setting | value |\n|---|---|\n";
  for (const auto& [name, value] : settings.as_object("settings")) {
    std::string text = value.is_string() ? value.as_string(name) : value.dump();
    for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
    table += fmt::format("| {} | {} |\n", name, text);
  }
  return table;
}

}  // namespace

TrainLog::TrainLog(const std::filesystem::path& folder, TrainLogOptions options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::kIo, "{}: cannot create: {}", folder.string(), error.message());
  const auto path = folder / "train.jsonl";
  const bool exists = std::filesystem::exists(path, error);
  if (exists && !options.resumed_after.has_value())
    fail(ErrorKind::kInput, "{}: holds another run; go on with that one, or choose another folder",
         path.string());
  if (exists) {
    last_step_ = *options.resumed_after;
    OutputFile replaced(path);
    const KeptLines kept = keep_lines(path, last_step_, replaced);
    elapsed_ = kept.elapsed;
    if (kept.has_later) replaced.commit();
  }
  last_step_ = options.resumed_after.value_or(0);
  lines_.emplace(path, AppendFile::Open::kExtend);
  if (options.event_file) events_.emplace(folder, options.resumed_after);
  progress_.emplace(options.label, options.total_steps, "steps", last_step_);
  if (options.resumed_after.has_value()) log_event(last_step_, "resume");
}

void TrainLog::append(const Json& line) {
  lines_->append(line.dump() + "\n");
}

void TrainLog::log_step(const LoggedStep& step) {
  if (step.step <= last_step_)
    fail(ErrorKind::kInternal, "step {} is logged after step {}", step.step, last_step_);
  elapsed_ += step.seconds;
  const double rate = step.seconds > 0 ? static_cast<double>(step.tokens) / step.seconds : 0;
  Json line = Json::object({{"step", step.step},
                            {"epoch", step.epoch},
                            {"loss", step.loss},
                            {"learning_rate", step.learning_rate}});
  std::vector<EventFile::Scalar> scalars = {{"train/loss", step.loss},
                                            {"train/learning_rate", step.learning_rate},
                                            {"train/epoch", step.epoch},
                                            {"train/tokens_per_second", rate}};
  std::vector<std::string> tags;
  std::vector<double> values;
  if (step.gradient_norm.has_value()) {
    line.set("gradient_norm", *step.gradient_norm);
    scalars.push_back({"train/gradient_norm", *step.gradient_norm});
  }
  if (step.scale.has_value()) {
    line.set("scale", *step.scale);
    scalars.push_back({"train/scale", *step.scale});
  }
  if (!step.details.empty()) {
    Json details = Json::object();
    for (const auto& [name, value] : step.details) {
      details.set(name, value);
      tags.push_back("train/" + name);
      values.push_back(value);
    }
    line.set("details", details);
  }
  for (std::size_t i = 0; i < tags.size(); ++i) scalars.push_back({tags[i], values[i]});
  line.set("tokens", step.tokens);
  line.set("seconds", step.seconds);
  line.set("tokens_per_second", rate);
  line.set("elapsed", elapsed_);
  append(line);
  if (events_) events_->add_scalars(step.step, scalars);
  progress_->set_note(fmt::format("loss {:.4g}  lr {:.2g}", step.loss, step.learning_rate));
  progress_->advance(step.step - last_step_);
  last_step_ = step.step;
}

void TrainLog::log_scores(int64_t step, double epoch, std::string_view split,
                          const std::vector<Score>& scores) {
  Json object = Json::object();
  std::vector<std::string> tags;
  for (const Score& score : scores) {
    object.set(score.name, score.value);
    tags.push_back(fmt::format("eval/{}/{}", split, score.name));
  }
  append(Json::object(
      {{"step", step}, {"epoch", epoch}, {"event", "eval"}, {"split", split}, {"scores", object}}));
  if (!events_) return;
  std::vector<EventFile::Scalar> scalars;
  for (std::size_t i = 0; i < scores.size(); ++i) scalars.push_back({tags[i], scores[i].value});
  events_->add_scalars(step, scalars);
}

void TrainLog::log_event(int64_t step, std::string_view event, const Json& details) {
  Json line = Json::object({{"step", step}, {"event", event}});
  for (const auto& [name, value] : details.as_object("details of an event")) line.set(name, value);
  append(line);
}

void TrainLog::log_settings(const Json& settings) {
  append(Json::object({{"step", last_step_}, {"event", "settings"}, {"settings", settings}}));
  if (events_) events_->add_text(last_step_, "settings", settings_table(settings));
}

}  // namespace penjing::train
