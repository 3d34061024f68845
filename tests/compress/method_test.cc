#include "compress/method.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "compress/params.h"

namespace penjing {
namespace {

struct Params {
  std::string kind = "fast", label = "x";
  bool deep = false;
  int64_t rounds = 3;
  double share = 0.5;
  std::vector<std::string> skip = {"pooler.*"};
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("kind", kind, {"fast", "slow"}, "how");
    v.text("label", label, "what");
    v.flag("deep", deep, "whether");
    v.integer("rounds", rounds, 1, 10, "how often");
    v.number("share", share, 0, 1, "how much");
    v.list("skip", skip, "which not");
  }
};

const Method kMethod = {"toy", "toy", "a toy", "a toy", Needs::kNothing, list_params<Params>, nullptr};

std::string error_of(const char* given) {
  try {
    (void)resolve_params(kMethod, Json::parse(given, ""));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput) << given;
    return error.what();
  }
  return "";
}

TEST(Method, ParametersAreResolved) {
  EXPECT_EQ(resolve_params(kMethod, Json()).dump(),
            R"({"kind":"fast","label":"x","deep":false,"rounds":3,"share":0.5,"skip":["pooler.*"]})");
  const Params params = read_params<Params>(
      resolve_params(kMethod, Json::parse(R"({"share":1,"rounds":10,"skip":[],"kind":"slow"})", "")));
  EXPECT_EQ(params.share, 1.0);
  EXPECT_EQ(params.rounds, 10);
  EXPECT_TRUE(params.skip.empty());
  EXPECT_EQ(params.kind, "slow");
}

TEST(Method, WrongValuesAreNamed) {
  for (const char* given :
       {R"({"kind":"medium"})", R"({"kind":1})", R"({"label":null})", R"({"deep":"yes"})", R"({"deep":1})",
        R"({"rounds":0})", R"({"rounds":11})", R"({"rounds":2.5})", R"({"share":-0.1})", R"({"share":1.1})",
        R"({"share":"0.5"})", R"({"skip":"a"})", R"({"skip":[1]})"}) {
    const std::string message = error_of(given);
    const std::string key = Json::parse(given, "").as_object("")[0].first;
    EXPECT_NE(message.find("toy: " + key), std::string::npos) << given << ": " << message;
  }
  EXPECT_NE(error_of(R"({"kind":"medium"})").find("fast | slow"), std::string::npos);
  EXPECT_NE(error_of(R"({"round":3})").find("did you mean \"rounds\""), std::string::npos);
}

TEST(Method, Registry) {
  std::set<std::string> names;
  for (const Method* method : all_methods()) {
    EXPECT_TRUE(names.insert(method->name).second) << method->name;
    EXPECT_EQ(find_method(method->name), method);
    EXPECT_GT(std::string(method->help).size(), 80u) << method->name;
    for (const ParamInfo& info : method->params()) {
      EXPECT_FALSE(info.help.empty()) << method->name << " " << info.name;
      // Defaults are values the method takes.
      (void)resolve_params(*method, Json::object({{info.name, info.default_value}}));
    }
  }
  EXPECT_EQ(find_method("Quantize"), nullptr);
}

TEST(Method, Patterns) {
  const std::string name = "encoder.layer.10.attention.self.query";
  for (const char* pattern :
       {"*", "**", "encoder.*", "*query", "*.10.*", "encoder.layer.??.attention.self.query", "e*l*1*q*y",
        "encoder.layer.10.attention.self.query", "*encoder*query*"}) {
    EXPECT_TRUE(matches_pattern(pattern, name)) << pattern;
  }
  for (const char* pattern : {"", "encoder", "query", "encoder.layer.?.*", "*.11.*", "*querys", "?",
                              "Encoder.*", "encoder.layer.10.attention.self.query?"}) {
    EXPECT_FALSE(matches_pattern(pattern, name)) << pattern;
  }
  EXPECT_TRUE(matches_pattern("", ""));
  EXPECT_TRUE(matches_pattern("*", ""));
  // Not exponential.
  EXPECT_FALSE(matches_pattern(std::string(200, '*') + "b", std::string(20000, 'a')));
}

}  // namespace
}  // namespace penjing
