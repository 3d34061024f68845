#include "train/launch_environment.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"

namespace penjing::train {
namespace {

LaunchEnvironment read(const std::map<std::string, std::string>& variables) {
  return read_launch_environment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string error_of(const std::map<std::string, std::string>& variables) {
  try {
    read(variables);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    return error.what();
  }
  return "";
}

const std::map<std::string, std::string> kTorchrun = {{"RANK", "5"},
                                                      {"WORLD_SIZE", "8"},
                                                      {"LOCAL_RANK", "1"},
                                                      {"LOCAL_WORLD_SIZE", "4"},
                                                      {"MASTER_ADDR", "10.0.0.1"},
                                                      {"MASTER_PORT", "29400"}};

std::map<std::string, std::string> with(std::map<std::string, std::string> variables, const std::string& name,
                                        const std::string& value) {
  variables[name] = value;
  return variables;
}

TEST(LaunchEnvironment, NoVariableIsOneProcess) {
  EXPECT_FALSE(read({}).distributed());
  EXPECT_FALSE(read({{"MASTER_ADDR", "10.0.0.1"}}).distributed());
  EXPECT_FALSE(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).distributed());
}

TEST(LaunchEnvironment, TorchrunsVariables) {
  const LaunchEnvironment launch = read(kTorchrun);
  EXPECT_TRUE(launch.distributed());
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 4);
  EXPECT_EQ(launch.address, "10.0.0.1");
  EXPECT_EQ(launch.port, 29400);
  // There torchrun's own store listens.
  EXPECT_EQ(read(with(kTorchrun, "TORCHELASTIC_USE_AGENT_STORE", "True")).port, 29401);
  EXPECT_EQ(read(with(kTorchrun, "PENJING_MASTER_PORT", "4000")).port, 4000);
}

TEST(LaunchEnvironment, SlurmsVariablesOfAStepOnly) {
  std::map<std::string, std::string> script = {
      {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"MASTER_ADDR", "node1"}};
  EXPECT_FALSE(read(script).distributed());  // sbatch's script
  std::map<std::string, std::string> step = with(script, "SLURM_STEP_ID", "0");
  step["SLURM_PROCID"] = "3";
  step["SLURM_LOCALID"] = "1";
  step["SLURM_CPUS_PER_TASK"] = "6";
  const LaunchEnvironment launch = read(step);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.cpus_per_rank, 6);
  EXPECT_EQ(launch.port, 29500);
  EXPECT_EQ(read(with(step, "SLURM_STEP_NUM_TASKS", "5")).size, 5);
  EXPECT_EQ(read(with(with(step, "RANK", "1"), "WORLD_SIZE", "2")).size, 2);  // a launcher inside a step
}

TEST(LaunchEnvironment, TheErrorNamesTheVariable) {
  const auto expect = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(error_of(with(kTorchrun, "RANK", "8")), "RANK: \"8\", wanted a number from 0 to 7");
  expect(error_of(with(kTorchrun, "RANK", "one")), "RANK: \"one\"");
  expect(error_of(with(kTorchrun, "WORLD_SIZE", "")), "WORLD_SIZE is not set");
  expect(error_of(with(kTorchrun, "MASTER_ADDR", "")), "MASTER_ADDR is not set");
  expect(error_of(with(kTorchrun, "MASTER_PORT", "99999")), "MASTER_PORT: \"99999\"");
  expect(error_of(with(kTorchrun, "LOCAL_RANK", "4")), "LOCAL_RANK: 4");
  expect(error_of({{"RANK", "0"}}), "WORLD_SIZE is not set");
}

}  // namespace
}  // namespace penjing::train
