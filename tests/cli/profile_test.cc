// profile: the parts add up to the whole, and the trace is one that a viewer can show.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "cli/command.h"
#include "cli/step_times.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing {
namespace {

using testing::run_program;

class ProfileCommand : public testing::TinyModelTest {
 protected:
  std::string model() const { return (work_ / "model").string(); }
  Json profile(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"profile", model(), "--rounds", "9", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = run_program({arguments});
    EXPECT_EQ(result.status, 0) << result.err;
    return Json::parse(result.out, "profile");
  }
};

double number(const Json& json, const char* key) {
  return json.find(key) == nullptr ? std::nan("") : json.find(key)->as_double(key);
}

TEST_F(ProfileCommand, PartsAddUp) {
  const Json json = profile({"--shape", "4x32", "--threads", "1", "--no-roofline"});
  for (const char* parts : {"operations", "layers", "steps"}) {
    double ms = 0, share = 0, count = 0, operations = 0;
    for (const Json& row : json.find(parts)->as_array("")) {
      ms += number(row, "ms"), share += number(row, "share");
      count += number(row, "count"), operations += number(row, "operations");
      EXPECT_GT(number(row, "ms"), 0);
    }
    EXPECT_NEAR(ms, number(json, "steps_ms"), 1e-9) << parts;
    EXPECT_NEAR(share, 1, 1e-9) << parts;
    EXPECT_EQ(count, static_cast<double>(json.find("steps")->as_array("").size())) << parts;
    EXPECT_EQ(operations, number(*json.find("total"), "operations")) << parts;
  }
  // Two layers, and what is outside them.
  EXPECT_EQ(json.find("layers")->as_array("").size(), 3u);
  EXPECT_EQ(json.find("machine"), nullptr);
  EXPECT_EQ(number(json, "tokens"), 128);
  // Checks of the batch and of the result lie between the steps. A forward of this tiny model takes some 100
  // us.
  EXPECT_GT(number(json, "accounted"), 0.6);
  EXPECT_LE(number(json, "accounted"), 1);
}

// 18,000 tokens are two forwards of the encoder inside one prediction: every step is told twice, the pooled
// rows too.
TEST_F(ProfileCommand, SplitBatchesAreWhole) {
  const Json one = profile({"--shape", "2x60", "--no-roofline"});
  const Json two = profile({"--shape", "300x60", "--no-roofline"});
  const auto steps = [](const Json& json) { return json.find("steps")->as_array("").size(); };
  EXPECT_EQ(steps(two), 2 * steps(one));
  EXPECT_EQ(two.find("operations")->as_array("").size(), one.find("operations")->as_array("").size());
  EXPECT_EQ(number(*two.find("total"), "operations"), 150 * number(*one.find("total"), "operations"));
}

TEST_F(ProfileCommand, RoofsNameTheLimit) {
  const Json json = profile({"--shape", "1x16", "--threads", "1"});
  EXPECT_GT(number(*json.find("machine"), "bandwidth_gb_per_s"), 0);
  for (const Json& row : json.find("operations")->as_array("")) {
    const std::string bound = row.find("bound")->as_string("");
    EXPECT_TRUE(bound == "compute" || bound == "memory" || bound == "caches" || bound == "overhead") << bound;
    if (number(row, "operations") == 0) {
      EXPECT_EQ(row.find("roof")->as_string(""), "memory");
    }
  }
  const auto text = run_program({{"profile", model(), "--rounds", "3", "--threads", "1", "--shape", "1x16"}});
  EXPECT_NE(text.out.find("attention.self.query + key + value"), std::string::npos);
  EXPECT_NE(text.out.find("bound by, as a share of the time:"), std::string::npos);
}

TEST_F(ProfileCommand, TraceIsOneForward) {
  const std::string path = (work_ / "trace.json").string();
  const Json json = profile({"--no-roofline", "--trace", path, "--shape", "3+17+40"});
  std::ifstream file(path, std::ios::binary);
  const Json trace = Json::parse(std::string(std::istreambuf_iterator<char>(file), {}), path);
  double whole = -1, last = 0;
  std::size_t steps = 0;
  for (const Json& event : trace.find("traceEvents")->as_array("")) {
    const std::string phase = event.find("ph")->as_string("");
    if (phase == "M") continue;
    ASSERT_EQ(phase, "X");
    if (event.find("cat")->as_string("") == "forward") {
      whole = number(event, "dur");
      EXPECT_EQ(number(event, "ts"), 0);
      continue;
    }
    ++steps;
    EXPECT_GE(number(event, "ts"), last - 1e-3);  // one after the other, inside the forward
    last = number(event, "ts") + number(event, "dur");
    EXPECT_LE(last, whole + 1e-3);
    EXPECT_NE(event.find("args")->find("layer"), nullptr);
  }
  EXPECT_EQ(steps, json.find("steps")->as_array("").size());
}

TEST_F(ProfileCommand, RefusesWhatItCannotTime) {
  EXPECT_EQ(run_program({{"profile", model(), "--shape", "1x16,1x8"}}).status, 2);
  EXPECT_EQ(run_program({{"profile", model(), "--shape", "1x9999"}}).status, 2);
  EXPECT_EQ(run_program({{"profile", model(), "--rounds", "1"}}).status, 2);
}

TEST(StepRow, Bounds) {
  using cli::StepRow;
  const auto bound = [](double compute_ms, double memory_ms) {
    StepRow row;
    row.ms = 1;
    row.compute_ms = compute_ms;
    row.memory_ms = memory_ms;
    return std::string(row.bound());
  };
  EXPECT_EQ(bound(0.8, 0.9), "compute");
  EXPECT_EQ(bound(0.2, 0.9), "memory");
  EXPECT_EQ(bound(0.2, 3.0), "caches");
  EXPECT_EQ(bound(0.2, 0.3), "overhead");
  EXPECT_EQ(std::string(StepRow{}.bound()), "overhead");
}

}  // namespace
}  // namespace penjing
