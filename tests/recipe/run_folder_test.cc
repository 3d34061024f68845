#include "recipe/run_folder.h"

#include <gtest/gtest.h>

#include "tests/base/test_folder.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;

TEST(RunFolders, OneProcessAtATime) {
  TestFolder folder("run-folder");
  const fs::path run = folder / "run";
  EXPECT_FALSE(is_run_folder(run));
  EXPECT_FALSE(is_running(run));
  {
    const RunFolder mine = RunFolder::create(run);
    write_bytes(run / "recipe.json", "{}");
    EXPECT_TRUE(is_run_folder(run));
    EXPECT_TRUE(is_running(run));
    EXPECT_NE(error_of([&] { (void)RunFolder::open(run); }).find("another process"), std::string::npos);
  }
  EXPECT_FALSE(is_running(run));
  (void)RunFolder::open(run);
  (void)RunFolder::create(run);
  write_bytes(folder / "other/file", "x");
  EXPECT_NE(error_of([&] { (void)RunFolder::create(folder / "other"); }).find("not the folder of a run"),
            std::string::npos);
  EXPECT_THROW((void)RunFolder::open(folder / "other"), Error);
  EXPECT_TRUE(fs::exists(folder / "other/file"));
}

TEST(RunFolders, LeftoversAndLink) {
  TestFolder folder("run-folder-leftovers");
  const RunFolder run = RunFolder::create(folder / "run");
  write_bytes(run.path() / "recipe.json", "{}");
  write_bytes(run.path() / "state.json.tmp-1-1", "half");
  write_bytes(run.step_path("1-quantize") / "config.json", "{}");
  write_bytes(run.step_path("2-quantize.tmp-1-2") / "config.json", "{}");
  write_bytes(run.step_path("2-quantize") / "config.json", "{}");
  write_bytes(run.work_path("0123456789abcdef of the next step") / "checkpoint", "{}");
  write_bytes(run.work_path("of another step") / "checkpoint", "{}");
  run.clear_leftovers({"1-quantize"}, "0123456789abcdef of the next step");
  EXPECT_TRUE(fs::exists(run.path() / "work/0123456789abcdef/checkpoint"));
  EXPECT_FALSE(fs::exists(run.work_path("of another step")));
  EXPECT_TRUE(fs::exists(run.path() / "recipe.json"));
  EXPECT_FALSE(fs::exists(run.path() / "state.json.tmp-1-1"));
  EXPECT_TRUE(fs::exists(run.step_path("1-quantize")));
  EXPECT_FALSE(fs::exists(run.step_path("2-quantize")));
  EXPECT_FALSE(fs::exists(run.step_path("2-quantize.tmp-1-2")));
  run.point_model_at("1-quantize");
  run.point_model_at("1-quantize");
  EXPECT_TRUE(fs::exists(run.path() / "model" / "config.json"));
  EXPECT_TRUE(fs::read_symlink(run.path() / "model").is_relative());
}

TEST(RunFolders, StateReadsBack) {
  TestFolder folder("run-folder-state");
  EXPECT_TRUE(read_run_state(folder.path()).steps.empty());
  RunState state;
  state.model_key = "abc";
  state.first.name = "0-original";
  StepState step;
  step.name = "1-quantize";
  step.key = "def";
  step.seconds = 1.5;
  step.details = Json::object({{"a", 1}});
  step.notes = {"note"};
  step.measured_key = "ghi";
  step.measured = Measurement();
  state.steps.push_back(step);
  write_run_state(folder.path(), state);
  const std::string written = read_bytes(folder / "state.json");
  const RunState again = read_run_state(folder.path());
  write_run_state(folder.path(), again);
  EXPECT_EQ(read_bytes(folder / "state.json"), written);
  EXPECT_FALSE(again.first.measured.has_value());
  EXPECT_TRUE(again.steps.at(0).measured.has_value());
  write_bytes(folder / "state.json", "{\"model_key\":1}");
  EXPECT_THROW((void)read_run_state(folder.path()), Error);
}

// Killed between its first system calls, a run leaves no more than this, and is begun again.
TEST(RunFolders, WhatAKilledBeginningLeavesIsTaken) {
  const TestFolder folder("run-begun");
  const std::filesystem::path run = folder / "run";
  std::filesystem::create_directories(run / "steps");
  (void)RunFolder::create(run);
  const std::filesystem::path other = folder / "other";
  std::filesystem::create_directories(other / "steps" / "1-quantize");
  EXPECT_NE(error_of([&] { (void)RunFolder::create(other); }).find("not the folder of a run"),
            std::string::npos);
}

}  // namespace
}  // namespace penjing
