#include "train/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"

namespace penjing::train {
namespace {

namespace fs = std::filesystem;

TrainingState some_state(int64_t step) {
  TrainingState state;
  state.step = step;
  state.parameters.set("w", Tensor::from_floats({2}, std::vector<float>{static_cast<float>(step), 0.5f}));
  state.optimizer.set("w.first_moment", Tensor::from_floats({2}, std::vector<float>{1e-30f, -3}));
  state.json.set("best_score", 0.25);
  state.json.set("epoch_loss", 3.0);
  return state;
}

class Checkpoints : public ::testing::Test {
 protected:
  fs::path folder_ =
      fs::path(::testing::TempDir()) / ("penjing_checkpoints_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path part(int64_t step, const char* name) const {
    return folder_ / ("checkpoint-" + std::to_string(step)) / name;
  }
  // Flips one bit of the last byte but `from_end`.
  static void damage(const fs::path& path, std::streamoff from_end) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-from_end, std::ios::end);
    const auto at = file.tellg();
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
  }
};

TEST_F(Checkpoints, TheNewestIsReadBackBitForBit) {
  EXPECT_FALSE(read_newest_checkpoint(folder_).has_value());
  for (const int64_t step : {9, 10, 100}) write_checkpoint(folder_, some_state(step));
  const auto state = read_newest_checkpoint(folder_);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->step, 100);
  EXPECT_EQ(read_floats(state->parameters.at("w"), "w"), (std::vector<float>{100, 0.5f}));
  EXPECT_EQ(read_floats(state->optimizer.at("w.first_moment"), ""), (std::vector<float>{1e-30f, -3}));
  EXPECT_EQ(state->average.size(), 0u);
  EXPECT_EQ(state->json.find("best_score")->as_double(""), 0.25);
}

TEST_F(Checkpoints, AnAverageAndTheObjectivesTensorsAreKeptWhereThereAreSome) {
  TrainingState state = some_state(4);
  state.average.set("w", Tensor::from_floats({1}, std::vector<float>{8}));
  state.objective.set("bank", Tensor::from_floats({1}, std::vector<float>{-2}));
  write_checkpoint(folder_, state);
  const auto read = read_newest_checkpoint(folder_);
  EXPECT_EQ(read_floats(read->average.at("w"), ""), (std::vector<float>{8}));
  EXPECT_EQ(read_floats(read->objective.at("bank"), ""), (std::vector<float>{-2}));
}

TEST_F(Checkpoints, ADamagedOneIsPassedOverWhicheverPartItIs) {
  write_checkpoint(folder_, some_state(1));
  write_checkpoint(folder_, some_state(2));
  EXPECT_EQ(read_newest_checkpoint(folder_)->step, 2);
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "trainer_state.json"}) {
    for (const std::streamoff from_end : {3, 40}) {
      damage(part(2, name), from_end);
      EXPECT_EQ(read_newest_checkpoint(folder_)->step, 1) << name << " " << from_end;
      damage(part(2, name), from_end);  // as it was
      EXPECT_EQ(read_newest_checkpoint(folder_)->step, 2);
    }
    fs::rename(part(2, name), folder_ / "away");
    EXPECT_EQ(read_newest_checkpoint(folder_)->step, 1) << name;
    fs::rename(folder_ / "away", part(2, name));
  }
  damage(part(1, "model.safetensors"), 1);
  damage(part(2, "model.safetensors"), 1);
  EXPECT_THROW(read_newest_checkpoint(folder_), Error);
}

TEST_F(Checkpoints, OldOnesNewerOnesAndLeftoversGo) {
  for (const int64_t step : {2, 10, 9, 30}) write_checkpoint(folder_, some_state(step));
  fs::create_directories(folder_ / "checkpoint-31.tmp-5-0");
  fs::create_directories(folder_ / "removed-checkpoint-1");
  fs::create_directories(folder_ / "checkpoint-notes");
  remove_old_checkpoints(folder_, 3);
  remove_checkpoints_after(folder_, 10);
  clear_leftovers(folder_);
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder_)) left.push_back(entry.path().filename().string());
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"checkpoint-10", "checkpoint-9", "checkpoint-notes"}));
}

TEST_F(Checkpoints, ParametersOfOtherShapesAreRefused) {
  Parameters parameters;
  parameters.add("w", at::zeros({2}));
  load_parameters_from(some_state(6).parameters, parameters);
  EXPECT_EQ(parameters.at("w")[0].item<float>(), 6.0f);
  EXPECT_TRUE(parameters.at("w").requires_grad());
  Parameters longer;
  longer.add("w", at::zeros({3}));
  EXPECT_THROW(load_parameters_from(some_state(6).parameters, longer), Error);
  Parameters other;
  other.add("v", at::zeros({2}));
  EXPECT_THROW(load_parameters_from(some_state(6).parameters, other), Error);
}

}  // namespace
}  // namespace penjing::train
