#include "train/train_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/base/test_folder.h"

namespace penjing::train {
namespace {

std::vector<Json> read_lines(const std::filesystem::path& path) {
  std::istringstream text(read_bytes(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line, "train.jsonl"));
  return lines;
}

LoggedStep make_step(int64_t step) {
  LoggedStep logged;
  logged.step = step;
  logged.epoch = static_cast<double>(step) / 10;
  logged.loss = 1.0 / static_cast<double>(step);
  logged.learning_rate = 2e-5;
  logged.gradient_norm = 1.5;
  logged.scale = 65536;
  logged.tokens = 100;
  logged.seconds = 0.5;
  return logged;
}

void log_range(TrainLog& log, int64_t from, int64_t to) {
  for (int64_t step = from; step <= to; ++step) log.log_step(make_step(step));
}

TEST(TrainLog, ALineAStep) {
  const TestFolder folder("train-log");
  TrainLog log(folder / "run", {});
  log.log_settings(Json::object({{"epochs", 3}, {"pattern", "a|b"}}));
  log_range(log, 1, 1);
  LoggedStep bad = make_step(2);
  bad.loss = std::nan("");
  bad.gradient_norm.reset();
  bad.scale.reset();
  log.log_step(bad);
  log.log_event(2, "overflow", Json::object({{"tensor", "layer.3.output"}}));
  log.log_scores(2, 0.2, "dev", {{"accuracy", 0.75}, {"f1", 0.5}});
  EXPECT_EQ(read_bytes(log.path()),  // flushed line by line
            R"({"step":0,"event":"settings","settings":{"epochs":3,"pattern":"a|b"}})"
            "\n"
            R"({"step":1,"epoch":0.1,"loss":1.0,"learning_rate":2e-05,"gradient_norm":1.5,"scale":65536.0,)"
            R"("tokens":100,"seconds":0.5,"tokens_per_second":200.0,"elapsed":0.5})"
            "\n"
            R"({"step":2,"epoch":0.2,"loss":null,"learning_rate":2e-05,"tokens":100,"seconds":0.5,)"
            R"("tokens_per_second":200.0,"elapsed":1.0})"
            "\n"
            R"({"step":2,"event":"overflow","tensor":"layer.3.output"})"
            "\n"
            R"({"step":2,"epoch":0.2,"event":"eval","split":"dev","scores":{"accuracy":0.75,"f1":0.5}})"
            "\n");
  EXPECT_NE(error_of([&] { log.log_step(make_step(2)); }), "");  // no step twice
  EXPECT_NE(read_bytes(log.event_file()->path()).find("| pattern | a\\|b |"), std::string::npos);
}

// Killed after step 14 in the middle of a line, gone on with from step 10. With PENJING_KEEP_RUN=FOLDER the
// run stays there for tools/oracles/event_file_check.py.
TEST(TrainLog, AResumedRunReadsAsOne) {
  const TestFolder folder("train-resume");
  const char* keep = std::getenv("PENJING_KEEP_RUN");
  const std::filesystem::path run = keep != nullptr ? keep : folder / "run";
  {
    TrainLog log(run, {});
    log.log_settings(Json::object({{"seed", 1}}));
    log_range(log, 1, 10);
    log.log_event(10, "checkpoint");
    log_range(log, 11, 14);
    log.log_scores(14, 1.4, "dev", {{"accuracy", 0.25}});
  }
  AppendFile(run / "train.jsonl", AppendFile::Open::kExtend).append(R"({"step":15,"epo)");
  {
    TrainLogOptions options;
    options.resumed_after = 10;
    TrainLog log(run, options);
    EXPECT_EQ(log.last_step(), 10);
    EXPECT_EQ(log.elapsed(), 5);
    log_range(log, 11, 20);
    log.log_scores(20, 2, "dev", {{"accuracy", 0.75}});
    log.event_file()->add_histogram(20, "gradients", std::vector<float>{-1, 0, 0, 1});
  }
  std::vector<int64_t> steps;
  std::vector<std::string> events;
  double elapsed = 0;
  for (const Json& line : read_lines(run / "train.jsonl")) {
    if (const Json* event = line.find("event"); event != nullptr) {
      events.push_back(event->as_string("event"));
      continue;
    }
    steps.push_back(line.find("step")->as_int("step"));
    elapsed = line.find("elapsed")->as_double("elapsed");
  }
  std::vector<int64_t> wanted;
  for (int64_t step = 1; step <= 20; ++step) wanted.push_back(step);
  EXPECT_EQ(steps, wanted);
  EXPECT_EQ(elapsed, 10);
  EXPECT_EQ(events, (std::vector<std::string>{"settings", "checkpoint", "resume", "eval"}));
  std::size_t files = 0, leftovers = 0;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    files += name.starts_with("events.out.tfevents.") ? 1 : 0;
    leftovers += name.find(".tmp-") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(files, 2u);
  EXPECT_EQ(leftovers, 0u);
}

TEST(TrainLog, KilledBeforeItsFirstCheckpoint) {
  const TestFolder folder("train-first");
  TrainLogOptions options;
  options.event_file = false;
  {
    TrainLog log(folder.path(), options);
    log_range(log, 1, 3);
    EXPECT_EQ(log.event_file(), nullptr);
  }
  options.resumed_after = 0;
  TrainLog log(folder.path(), options);
  EXPECT_EQ(log.elapsed(), 0);
  EXPECT_EQ(read_bytes(log.path()), "{\"step\":0,\"event\":\"resume\"}\n");
}

TEST(TrainLog, RefusesAnotherRunsFolderAndDamagedLines) {
  const TestFolder folder("train-refuse");
  write_bytes(folder / "train.jsonl", "{\"step\":1}\n");
  EXPECT_NE(error_of([&] { TrainLog(folder.path(), {}); }).find("holds another run"), std::string::npos);
  TrainLogOptions options;
  options.resumed_after = 5;
  for (const std::string damaged : {"{\"step\":1}\n{\"epoch\":1}\n", "{\"step\":1}\nnot JSON\n"}) {
    write_bytes(folder / "train.jsonl", damaged);
    EXPECT_NE(error_of([&] { TrainLog(folder.path(), options); }).find("line 2"), std::string::npos)
        << damaged;
    EXPECT_EQ(read_bytes(folder / "train.jsonl"), damaged);  // as it was
  }
}

TEST(TrainLog, ReportsLossRateAndTimeLeft) {
  const TestFolder folder("train-progress");
  ::testing::internal::CaptureStderr();
  set_progress_style(ProgressStyle::kLines);
  {
    TrainLogOptions options;
    options.total_steps = 1000;
    options.resumed_after = 500;
    options.label = "finetune";
    TrainLog log(folder.path(), options);
    std::this_thread::sleep_for(std::chrono::milliseconds(520));
    log_range(log, 501, 502);
  }
  set_progress_style(ProgressStyle::kNone);
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("finetune: 50 %  501/1000 steps  "), std::string::npos) << text;
  EXPECT_NE(text.find(" left  loss 0.001996  lr 2e-05\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace penjing::train
