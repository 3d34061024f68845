// completion: the scripts offer the commands and flags of the program itself, in a real shell.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/command.h"
#include "tests/cli/program_run.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::run_program;
using Words = std::vector<std::string>;

class Completion : public ::testing::Test {
 protected:
  fs::path work_ =
      fs::path(::testing::TempDir()) / ("penjing_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  void SetUp() override {
    fs::create_directories(work_ / "cache" / "models" / "small-one");
    fs::create_directories(work_ / "cache" / "models" / "a $(touch hacked) b");
    fs::create_directories(work_ / "here" / "some-folder");
  }
  void TearDown() override { fs::remove_all(work_); }

  std::string script(const std::string& shell) const {
    const auto result = run_program({{"completion", shell}});
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }
  // Standard output of a shell that runs `text` as a file, and its status.
  std::pair<int, std::string> run_shell(const std::string& shell, const std::string& text) const {
    std::ofstream(work_ / "test.sh") << text;
    const std::string command = "cd '" + (work_ / "here").string() + "' && PENJING_CACHE='" +
                                (work_ / "cache").string() + "' " + shell + " '" +
                                (work_ / "test.sh").string() + "' 2>&1";
    std::string out;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return {-1, ""};
    char buffer[4096];
    for (std::size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
      out.append(buffer, size);
    return {::pclose(pipe), out};
  }
  // What bash offers for a line of words, the last being typed.
  Words complete(const Words& words) const {
    std::string text = script("bash") + "\nset -u\nCOMP_WORDS=(";
    for (const auto& word : words) text += "'" + word + "' ";
    text += ")\nCOMP_CWORD=" + std::to_string(words.size() - 1) + "\n_penjing\n";
    text += "printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    const auto [status, out] = run_shell("bash --norc --noprofile", text);
    EXPECT_EQ(status, 0) << out;
    Words offered;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) offered.push_back(line);
    }
    std::sort(offered.begin(), offered.end());
    return offered;
  }
};

// The verbs of --help: lines "  verb   summary" after "Subcommands:".
Words verbs_of_help() {
  Words verbs;
  std::istringstream lines(run_program({{"--help"}}).out);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Subcommands:")) {
      inside = true;
    } else if (inside && line.size() > 2 && line[0] == ' ' && line[2] != ' ') {
      verbs.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return verbs;
}

TEST_F(Completion, OffersEveryVerb) {
  Words wanted = verbs_of_help();
  ASSERT_GT(wanted.size(), 10u);
  wanted.insert(wanted.end(), {"--help", "--version"});
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(complete({"penjing", ""}), wanted);
  EXPECT_EQ(complete({"penjing", "fill"}), Words{"fill-mask"});
  EXPECT_EQ(complete({"penjing", "qu"}), Words{"quantize"});
}

// Every flag that a verb's --help shows is offered for it, and the program knows every one that is offered.
TEST_F(Completion, OffersEveryFlag) {
  for (const auto& verb : verbs_of_help()) {
    const bool trains = verb == "finetune" || verb == "pretrain";
    if (trains && !std::filesystem::exists(PENJING_BINARY_DIR "/penjing-train"))
      continue;  // not in this build
    const Words offered = complete({"penjing", verb, "--"});
    const std::string help = run_program({{verb, "--help"}}).out;
    EXPECT_NE(std::find(offered.begin(), offered.end(), "--json"), offered.end()) << verb;
    for (const auto& flag : offered) EXPECT_NE(help.find(flag), std::string::npos) << verb << " " << flag;
    // At a line's start stand the names of its options: "  -t,--threads INT ..." or "  --json ...".
    std::istringstream lines(help.substr(0, help.find("Examples:")));
    for (std::string line; std::getline(lines, line);) {
      const auto at = line.find("--");
      if (!line.starts_with("  -") || at > 6) continue;
      const std::string flag = line.substr(at, line.find_first_of(" ,", at) - at);
      EXPECT_NE(std::find(offered.begin(), offered.end(), flag), offered.end()) << verb << " " << flag;
    }
  }
}

TEST_F(Completion, OffersListedValues) {
  EXPECT_EQ(complete({"penjing", "ner", "model", "--aggregation-strategy", "f"}), Words{"first"});
  EXPECT_EQ(complete({"penjing", "ner", "model", "--aggregation-strategy", "=", "f"}), Words{"first"});
  EXPECT_EQ(complete({"penjing", "ner", "model", "--aggregation-strategy", "="}).size(), 5u);
  EXPECT_EQ(complete({"penjing", "quantize", "m", "--scheme", "w8a8"}), Words{"w8a8"});
  EXPECT_EQ(complete({"penjing", "eval", "m", "--task", "sts"}), Words{"stsb"});
  EXPECT_EQ(complete({"penjing", "completion", ""}), (Words{"bash", "zsh"}));
  EXPECT_EQ(complete({"penjing", "inspect", "m", "--length", ""}), Words{});
}

TEST_F(Completion, OffersModelsAndFiles) {
  EXPECT_EQ(complete({"penjing", "embed", "s"}), (Words{"small-one", "some-folder"}));
  EXPECT_EQ(complete({"penjing", "verify", "m", "--reference", "sm"}), Words{"small-one"});
  EXPECT_EQ(complete({"penjing", "embed", "a"}), Words{"a $(touch hacked) b"});
  EXPECT_FALSE(fs::exists(work_ / "here" / "hacked"));
}

TEST_F(Completion, ZshReadsItsScript) {
  const std::string text = script("zsh");
  EXPECT_TRUE(text.starts_with("#compdef penjing\n"));
  for (const auto& verb : verbs_of_help()) {
    EXPECT_NE(text.find("\n    '" + verb + ":"), std::string::npos) << verb;
    EXPECT_NE(text.find("\n        " + verb + ")\n"), std::string::npos) << verb;
  }
  if (std::system("command -v zsh > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "zsh is not installed: its script was looked at, not run";
  }
  const auto [status, out] = run_shell("zsh -fn", text);
  EXPECT_EQ(status, 0) << out;
}

TEST_F(Completion, RefusesOtherShells) {
  const auto result = run_program({{"completion", "tcsh"}});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.err.find("tcsh"), std::string::npos);
  const Json json = Json::parse(run_program({{"completion", "bash", "--json"}}).out, "completion");
  EXPECT_EQ(json.find("script")->as_string(""), script("bash"));
}

}  // namespace
}  // namespace penjing
