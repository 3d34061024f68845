// doctor: its choices are those of the dispatch, and a broken environment is a finding, not a failure.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "cli/command.h"
#include "kernels/cpu.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_folder.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::run_program;

// Sets a variable for the children of one test.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() {
    if (before_) {
      ::setenv(name_, before_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

Json examine(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"doctor", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto result = run_program({arguments});
  EXPECT_EQ(result.status, 0) << result.err;
  return Json::parse(result.out, "doctor");
}

const Json& at(const Json& json, const char* key) {
  const Json* found = json.find(key);
  if (found == nullptr) throw std::runtime_error(std::string("no ") + key);
  return *found;
}

TEST(Doctor, KnowsEveryKernelFamily) {
  std::set<std::string> folders, told;
  for (const auto& entry : fs::directory_iterator(fs::path(PENJING_SOURCE_DIR) / "src" / "kernels")) {
    if (fs::exists(entry.path() / "kernels.def")) folders.insert(entry.path().filename().string());
  }
  ASSERT_FALSE(folders.empty());
  const Json json = examine();
  for (const Json& kernel : at(json, "kernels").as_array("")) told.insert(at(kernel, "family").as_string(""));
  EXPECT_EQ(told, folders);
}

TEST(Doctor, RefusesWithTheReason) {
  const Environment forced("PENJING_ISA", "ref");
  const Json json = examine();
  EXPECT_EQ(at(json, "isa_forced").as_string(""), "ref");
  EXPECT_FALSE(at(at(json, "int8"), "gain").as_bool(""));
  for (const Json& kernel : at(json, "kernels").as_array("")) {
    EXPECT_EQ(at(kernel, "uses").as_string(""), "ref");
    EXPECT_EQ(at(kernel, "refused").as_array("").size(), 6u);
    if (at(kernel, "family").as_string("") != "gemm_i8") continue;
    for (const Json& refused : at(kernel, "refused").as_array("")) {
      for (const Isa isa :
           {Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kAvx512Bf16, Isa::kAmx}) {
        if (at(refused, "isa").as_string("") != name_of(isa)) continue;
        const std::string wanted = gemm_i8::find(isa) == nullptr ? "no such kernel in this build"
                                   : cpu_has(isa)                ? "PENJING_ISA forbids it"
                                                                 : "not on this CPU";
        EXPECT_EQ(at(refused, "why").as_string(""), wanted) << name_of(isa);
      }
    }
  }
}

TEST(Doctor, SaysWhetherInt8Gains) {
  if (std::getenv("PENJING_ISA") != nullptr) GTEST_SKIP() << "PENJING_ISA is set";
  EXPECT_EQ(at(at(examine(), "int8"), "gain").as_bool(""), cpu_has(Isa::kAvx512Vnni));
}

TEST(Doctor, ABadSettingIsAFinding) {
  const Environment forced("PENJING_ISA", "sse9");
  const Json json = examine();
  ASSERT_EQ(at(json, "problems").as_array("").size(), 1u);
  EXPECT_NE(at(json, "problems").as_array("")[0].as_string("").find("sse9"), std::string::npos);
  EXPECT_EQ(at(json, "isa_limit").as_string(""), name_of(usable_isas().back()));
  EXPECT_EQ(run_program({{"inspect", "nothing"}}).status, 2);
  EXPECT_NE(run_program({{"doctor"}}).out.find("sse9"), std::string::npos);
}

TEST(Doctor, ListsTheCache) {
  const fs::path cache = fs::path(::testing::TempDir()) / ("penjing_doctor_" + std::to_string(::getpid()));
  fs::create_directories(cache / "models" / "empty");
  fs::create_directories(cache / "models" / "odd");
  std::ofstream(cache / "models" / "odd" / "config.json") << "{\"model_type\": \"be";
  testing::write_tiny_folder(cache / "models" / "tiny", testing::TinyHead::kSentence);
  {
    const Environment forced("PENJING_CACHE", cache.string());
    const auto models = at(at(examine(), "cache"), "models").as_array("");
    ASSERT_EQ(models.size(), 3u);
    EXPECT_EQ(at(models[0], "problem").as_string(""), "no config.json");
    EXPECT_FALSE(at(models[1], "problem").is_null());
    EXPECT_EQ(at(models[2], "name").as_string(""), "tiny");
    EXPECT_EQ(at(models[2], "family").as_string(""), "bert");
    EXPECT_TRUE(at(models[2], "problem").is_null());
    EXPECT_GT(at(models[2], "weight_bytes").as_int(""), 1000);
  }
  {
    const Environment none("PENJING_CACHE", (cache / "nowhere").string());
    EXPECT_TRUE(at(at(examine(), "cache"), "models").as_array("").empty());
  }
  fs::remove_all(cache);
}

TEST(Doctor, CountsThreadsAndMemory) {
  const Json json = examine({"--threads", "3"});
  const Json& threads = at(json, "threads");
  EXPECT_EQ(at(threads, "used").as_int(""), 3);
  EXPECT_GE(at(threads, "online_cpus").as_int(""), at(threads, "affinity_cpus").as_int(""));
  EXPECT_GE(at(threads, "affinity_cpus").as_int(""), 1);
  const Json& memory = at(json, "memory");
  EXPECT_GT(at(memory, "total_bytes").as_int(""), at(memory, "available_bytes").as_int(""));
  EXPECT_FALSE(json.contains("measured"));
}

TEST(Doctor, Measures) {
  const Json json = examine({"--measure", "--threads", "1"});
  const Json& measured = at(json, "measured");
  EXPECT_GT(at(measured, "peak_fp32_gflops").as_double(""), 0.1);
  EXPECT_GT(at(measured, "bandwidth_gb_per_s").as_double(""), 0.1);
  EXPECT_NEAR(at(measured, "int8_over_fp32").as_double(""),
              at(measured, "peak_int8_gops").as_double("") / at(measured, "peak_fp32_gflops").as_double(""),
              1e-6);
}

TEST(Doctor, TellsHowAModelsZerosAreMultiplied) {
  const fs::path work =
      fs::path(::testing::TempDir()) / ("penjing_doctor_zeros_" + std::to_string(::getpid()));
  fs::create_directories(work);
  const std::string model = (work / "model").string();
  testing::write_tiny_folder(work / "model", testing::TinyHead::kSentence);
  const auto pattern_of = [&](const std::string& folder) {
    const Json json = examine({folder});
    std::set<std::string> patterns, verdicts;
    int64_t matrices = 0;
    for (const Json& group : at(at(json, "model"), "products").as_array("")) {
      patterns.insert(at(group, "pattern").as_string(""));
      const bool sparse = at(group, "sparse").as_bool("");
      EXPECT_EQ(at(group, "kernel").as_string("").starts_with("spmm"), sparse);
      EXPECT_EQ(at(group, "verdict").is_null(), patterns.contains("none"));
      EXPECT_TRUE(!sparse || at(group, "pattern").as_string("") == "4x1");
      matrices += at(group, "matrices").as_int("");
    }
    EXPECT_GT(matrices, 0);
    EXPECT_EQ(patterns.size(), 1u);
    return patterns.empty() ? "" : *patterns.begin();
  };
  EXPECT_EQ(pattern_of(model), "none");
  const std::pair<const char*, const char*> cases[] = {
      {"4x1", "0.8"}, {"2:4", "0.5"}, {"unstructured", "0.5"}};
  for (const auto& [pattern, sparsity] : cases) {
    const std::string out = (work / "pruned").string();
    const auto pruned = run_program({{"prune", model, "--method", "magnitude", "--pattern", pattern,
                                      "--sparsity", sparsity, "--out", out}});
    ASSERT_EQ(pruned.status, 0) << pruned.err;
    EXPECT_EQ(pattern_of(out), pattern);
    fs::remove_all(out);
  }
  EXPECT_EQ(run_program({{"doctor", (work / "nothing").string()}}).status, 2);
  fs::remove_all(work);
}

}  // namespace
}  // namespace penjing
