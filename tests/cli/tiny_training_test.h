#pragma once

#include <fstream>

#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing::testing {

// A test of a command that trains: beside the tiny model, sentences of two classes in `data`, train and dev.
// Skipped in a build without the trainer.
class TinyTrainingTest : public TinyModelTest {
 protected:
  void SetUp() override {
    namespace fs = std::filesystem;
    if (!fs::exists(fs::path(PENJING_BINARY_DIR) / "penjing-train")) {
      GTEST_SKIP() << "built without PENJING_TRAIN";
    }
    TinyModelTest::SetUp();
    fs::create_directories(work_ / "data");
    for (const char* split : {"train", "dev"}) {
      std::ofstream file(work_ / "data" / (std::string(split) + ".tsv"));
      file << "sentence\tlabel\n";
      for (int i = 0; i < 32; ++i) {
        file << (i % 2 == 0 ? "the cat sat on a mat\t0\n" : "a dog ran in the house\t1\n");
      }
    }
  }

  // Fine-tunes the tiny model into `teacher`.
  void teach() const {
    const ProgramResult taught = run_program(
        {{"finetune", path("model"), "--task", "classification", "--data", path("data"), "--out",
          path("teacher"), "--epochs", "2", "--batch-size", "4", "--learning-rate", "2e-3", "--quiet"}});
    ASSERT_EQ(taught.status, 0) << taught.err;
  }

  // Runs the command; interrupt: until the first checkpoint of `out` is there.
  ProgramResult train(std::vector<std::string> arguments, const std::string& out,
                      const std::vector<std::string>& more, bool interrupt) const {
    arguments.insert(arguments.end(), {"--task", "classification", "--data", path("data"), "--out", path(out),
                                       "--batch-size", "4", "--learning-rate", "1e-3"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    ProgramRun run{std::move(arguments)};
    if (interrupt)
      run.interrupt_when = [folder = path(out + ".training")] { return holds_checkpoint(folder); };
    return run_program(run);
  }
};

}  // namespace penjing::testing
