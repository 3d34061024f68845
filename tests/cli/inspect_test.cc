// inspect's columns of outliers and of what compression changed.
#include <gtest/gtest.h>

#include <fstream>

#include "cli/command.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing {
namespace {

using testing::run_program;

class Inspect : public testing::TinyModelTest {};

TEST_F(Inspect, ShowsWhatCompressionChanged) {
  ASSERT_EQ(run_program({{"quantize", path("model"), "--out", path("small"), "--scheme", "w8a8"}}).status, 0);
  std::ofstream(work_ / "texts.txt") << "the cat sat on the mat\na dog ran in the big red house\n";
  const auto verified = run_program({{"verify", path("small"), "--reference", path("model"), "--data",
                                      path("texts.txt"), "--per-layer", "--json"}});
  ASSERT_EQ(verified.status, 0) << verified.err;
  std::ofstream(work_ / "layers.json") << verified.out;

  const auto told = run_program({{"inspect", path("small"), "--sensitivity", path("layers.json"), "--json"}});
  ASSERT_EQ(told.status, 0) << told.err;
  const Json layers = Json::parse(verified.out, "verify"), tensors = Json::parse(told.out, "inspect");
  int matched = 0;
  for (const Json& tensor : tensors.find("tensors")->as_array("")) {
    const std::string name = tensor.find("name")->as_string("");
    const Json* error = tensor.find("output_error");
    for (const Json& layer : layers.find("layers")->as_array("")) {
      const std::string site = layer.find("site")->as_string("");
      if (name != site.substr(0, site.size() - 4) + ".weight") continue;
      ASSERT_NE(error, nullptr) << name;
      EXPECT_EQ(*error, *layer.find("relative_error")) << name;
      EXPECT_EQ(*tensor.find("output_cosine_min"), *layer.find("cosine_min")) << name;
      ++matched;
    }
  }
  EXPECT_GE(matched, 12);  // two layers of six products
  const auto table = run_program({{"inspect", path("small"), "--sensitivity", path("layers.json")}});
  EXPECT_NE(table.out.find("output error"), std::string::npos);
  EXPECT_NE(table.out.find("> 6 std"), std::string::npos);
}

TEST_F(Inspect, RefusesOtherFiles) {
  const auto refused = [&](const std::string& text, int status) {
    std::ofstream(work_ / "odd.json") << text;
    const auto result = run_program({{"inspect", path("model"), "--sensitivity", path("odd.json")}});
    EXPECT_EQ(result.status, status) << text << "\n" << result.err;
    EXPECT_NE(result.err.find("odd.json"), std::string::npos) << result.err;
  };
  refused("{}", 4);
  refused("{\"layers\": []}", 4);
  refused("{\"layers\": [{\"site\": \"a.out\"}]}", 4);
  refused("{\"layers\": [{\"site\": 3, \"relative_error\": 1, \"cosine_min\": 1}]}", 4);
  refused("not JSON", 4);
  EXPECT_EQ(run_program({{"inspect", path("model"), "--sensitivity", path("missing.json")}}).status, 6);
}

}  // namespace
}  // namespace penjing
