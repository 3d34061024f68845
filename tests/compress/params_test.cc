#include "compress/params.h"

#include <gtest/gtest.h>

#include <chrono>

namespace penjing {
namespace {

TEST(MatchesPattern, Table) {
  const struct {
    const char *pattern, *name;
    bool matches;
  } cases[] = {
      {"", "", true},
      {"", "a", false},
      {"*", "", true},
      {"*", "encoder.layer.0", true},
      {"**", "a", true},
      {"?", "", false},
      {"?", "a", true},
      {"?", "ab", false},
      {"classifier", "classifier", true},
      {"classifier", "classifier2", false},
      {"classifier", "my.classifier", false},  // the whole name, not a part of it
      {"Classifier", "classifier", false},
      {"encoder.layer.0.*", "encoder.layer.0.output.dense", true},
      {"encoder.layer.0.*", "encoder.layer.00.output.dense", false},
      {"encoder.layer.?.output.dense", "encoder.layer.3.output.dense", true},
      {"encoder.layer.?.output.dense", "encoder.layer.11.output.dense", false},
      {"*.dense", "encoder.layer.0.output.dense", true},
      {"*.dense", "encoder.layer.0.output.dense.lora", false},
      {"*.output.*", "encoder.layer.0.output.dense", true},
      {"*query", "attention.self.query", true},
      {"*aab", "aaaab", true},  // the star gives back what it took too soon
      {"a*b*c", "axxbyybzzc", true},
      {"a*b*c", "axxbyybzz", false},
      {"a*?", "a", false},
      {"a*?", "ab", true},
      {"[ab]", "a", false},  // no other wildcard
      {"a.b", "axb", false},
      {"*\xff", "name\xff", true},
  };
  for (const auto& [pattern, name, matches] : cases) {
    EXPECT_EQ(matches_pattern(pattern, name), matches) << '"' << pattern << "\" on \"" << name << '"';
  }
}

// 20 stars over 20,000 letters: exponential in a naive matcher, and 4e8 steps in the worst quadratic one.
TEST(MatchesPattern, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 20; ++i) pattern += "*a";
  pattern += "b";
  const std::string name(20'000, 'a');
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(matches_pattern(pattern, name));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST(ReadParams, AMissingKeyIsOurFault) {
  struct Params {
    int64_t rank = 1;
    void visit(ParamReader& v) { v.integer("rank", rank, 1, 2, ""); }
  };
  try {
    (void)read_params<Params>(Json::object());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_NE(std::string(error.what()).find("rank"), std::string::npos);
  }
}

}  // namespace
}  // namespace penjing
