// The program's promises to whoever calls it: exit codes, help, errors, nothing half-written.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "cli/program.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_folder.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;
using testing::TinyHead;

class ExitCodes : public ::testing::Test {
 protected:
  fs::path work_ =
      fs::path(::testing::TempDir()) / ("penjing_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  void SetUp() override { fs::create_directories(work_); }
  void TearDown() override { fs::remove_all(work_); }

  std::string path(const std::string& name) const { return (work_ / name).string(); }
  std::string make_model(TinyHead head = TinyHead::kSentence) const {
    testing::write_tiny_folder(work_ / "model", head);
    return path("model");
  }
  std::string make_file(const std::string& name, const std::string& content) const {
    std::ofstream(work_ / name, std::ios::binary) << content;
    return path(name);
  }
  std::size_t count_entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(work_), fs::directory_iterator()));
  }
};

const char* const kVerbs[] = {"import", "inspect",   "tokenize", "embed", "classify", "ner",        "qa",
                              "rerank", "fill-mask", "verify",   "bench", "quantize", "dequantize", "runs"};

TEST_F(ExitCodes, SaysItsVersion) {
  const ProgramResult result = run_program({{"--version"}});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out.substr(0, 8), "penjing ");
}

TEST_F(ExitCodes, HelpOfEveryCommandHasAnExample) {
  const ProgramResult all = run_program({{"--help"}});
  EXPECT_EQ(all.status, 0);
  for (const std::string verb : kVerbs) {
    EXPECT_NE(all.out.find("\n  " + verb + " "), std::string::npos) << verb << " is not in --help";
    const ProgramResult help = run_program({{verb, "--help"}});
    EXPECT_EQ(help.status, 0) << verb;
    EXPECT_NE(help.out.find("penjing " + verb + " "), std::string::npos) << verb << ":\n" << help.out;
  }
}

TEST_F(ExitCodes, UsageErrorsAreTwo) {
  const std::string model = make_model();
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"--nonsense"},
      {"inspect"},
      {"inspect", model, "--nonsense"},
      {"inspect", path("no-such-model")},
      {"embed", model},
      {"embed", model, "text", "--pooling", "median"},
      {"embed", model, "text", "--dimensions", "33"},
      {"embed", model, "text", "--type", "int8"},
      {"embed", model, "text", "--prompt-name", "query"},
      {"embed", model, "text", "--normalize", "--no-normalize"},
      {"embed", model, "text", "--threads", "-1"},
      {"embed", model, "text", "--max-length", "0"},
      {"bench", model, "--shapes", "1x"},
      {"bench", model, "--shapes", "0x16"},
      {"bench", model, "--shapes", "1x65"},
      {"quantize", model},
      {"quantize", model, "--out", path("out"), "--scheme", "w9a9"},
      {"quantize", model, "--out", model},
      {"verify", model, "--reference", model},
  };
  for (const auto& arguments : cases) {
    const ProgramResult result = run_program({arguments});
    std::string line;
    for (const auto& argument : arguments) line += " " + argument;
    EXPECT_EQ(result.status, 2) << line << "\n" << result.err;
    EXPECT_FALSE(result.err.empty()) << line;
    EXPECT_EQ(result.out, "") << line;
  }
}

TEST_F(ExitCodes, UnknownVerbNamesTheNearest) {
  const ProgramResult result = run_program({{"quantise"}});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.err.find("\"quantize\""), std::string::npos) << result.err;
}

TEST_F(ExitCodes, MissingModelSaysWhereItLooked) {
  const ProgramResult result = run_program({{"inspect", "no-such-model"}});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.err.find("no-such-model"), std::string::npos);
  EXPECT_NE(result.err.find("models"), std::string::npos) << result.err;
}

TEST_F(ExitCodes, ErrorIsOneJsonObjectWithJson) {
  const ProgramResult result = run_program({{"inspect", "no-such-model", "--json"}});
  EXPECT_EQ(result.status, 2);
  const Json error = Json::parse(result.err, "stderr");
  EXPECT_EQ(error.find("kind")->as_string(""), "input");
  EXPECT_EQ(error.find("exit_code")->as_int(""), 2);
}

TEST_F(ExitCodes, BrokenFilesAreFour) {
  const std::string model = make_model();
  fs::copy(model, work_ / "cut", fs::copy_options::recursive);
  fs::resize_file(work_ / "cut" / "model.safetensors", 5000);
  fs::copy(model, work_ / "config", fs::copy_options::recursive);
  make_file("config/config.json", "{\"model_type\": \"bert\", ");
  fs::copy(model, work_ / "family", fs::copy_options::recursive);
  make_file("family/config.json", "{\"model_type\": \"mamba\"}");
  for (const char* name : {"cut", "config", "family"}) {
    for (const char* verb : {"inspect", "quantize"}) {
      std::vector<std::string> arguments = {verb, path(name)};
      if (verb == std::string("quantize")) arguments.insert(arguments.end(), {"--out", path("out")});
      const ProgramResult result = run_program({arguments});
      EXPECT_EQ(result.status, 4) << verb << " " << name << "\n" << result.err;
      EXPECT_FALSE(fs::exists(work_ / "out"));
    }
  }
}

TEST_F(ExitCodes, HeadThatIsNotThereIsRefused) {
  const std::string model = make_model();
  EXPECT_EQ(run_program({{"classify", model, "text"}}).status, 4);
  EXPECT_EQ(run_program({{"ner", model, "text"}}).status, 4);
  EXPECT_EQ(run_program({{"qa", model, "--question", "who", "--context", "the cat"}}).status, 4);
  const int fill = run_program({{"fill-mask", model, "the [MASK]"}}).status;
  EXPECT_TRUE(fill == 2 || fill == 4) << fill;
}

TEST_F(ExitCodes, UnwritableOutputIsSix) {
  const std::string model = make_model(), file = make_file("file", "");
  EXPECT_EQ(run_program({{"embed", model, "text", "--output", file + "/v.npy"}}).status, 6);
  EXPECT_EQ(run_program({{"embed", model, "text", "--output", path("absent/v.npy")}}).status, 6);
  EXPECT_EQ(run_program({{"tokenize", model, "--output", path("absent/t.jsonl")}, "text\n"}).status, 6);
  EXPECT_EQ(run_program({{"quantize", model, "--out", file + "/out"}}).status, 6);
}

TEST_F(ExitCodes, FullDiskIsSixAndLeavesNothing) {
  const std::string model = make_model();
  std::string texts;
  for (int i = 0; i < 2000; ++i) texts += "the cat sat on the mat.\n";
  const std::size_t before = count_entries();
  for (const char* name : {"v.npy", "v.jsonl"}) {
    ProgramResult result =
        run_program({{"embed", model, "--input", "-", "--output", path(name)}, texts, "", 20000});
    EXPECT_EQ(result.status, 6) << result.err;
  }
  EXPECT_EQ(run_program({{"quantize", model, "--out", path("out")}, "", "", 4000}).status, 6);
  EXPECT_EQ(count_entries(), before);
  EXPECT_EQ(run_program({{"inspect", model}, "", "/dev/full"}).status, 6);
  EXPECT_EQ(run_program({{"tokenize", model}, texts, "/dev/full"}).status, 6);
}

TEST_F(ExitCodes, InterruptIs130AndLeavesNothing) {
  const std::string model = make_model();
  std::string texts;
  for (int i = 0; i < 400000; ++i) texts += "the cat sat on the mat in a big red house, the dog ran.\n";
  const std::string input = make_file("texts.txt", texts);
  const std::size_t before = count_entries();
  for (const char* verb : {"embed", "tokenize"}) {
    testing::ProgramRun run{{verb, model, "--input", input, "--output", path("out.jsonl"), "--threads", "1"}};
    run.interrupt_when = [&] { return count_entries() > before; };  // its temporary file is there
    const ProgramResult result = run_program(run);
    EXPECT_EQ(result.status, 130) << verb << "\n" << result.err;
    EXPECT_EQ(count_entries(), before) << verb;
  }
}

TEST_F(ExitCodes, ExistingOutputIsNotReplaced) {
  const std::string model = make_model();
  EXPECT_EQ(run_program({{"quantize", model, "--out", path("out")}}).status, 0);
  const auto size = fs::file_size(work_ / "out" / "model.safetensors");
  EXPECT_EQ(run_program({{"quantize", model, "--out", path("out"), "--scheme", "bf16"}}).status, 2);
  EXPECT_EQ(fs::file_size(work_ / "out" / "model.safetensors"), size);
}

}  // namespace
}  // namespace penjing
