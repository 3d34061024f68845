#include "compress/method.h"

#include <gtest/gtest.h>

#include <set>

#include "compress/params.h"
#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

TEST(MethodRegistry, EveryMethodIsFoundByItsNameOnce) {
  ASSERT_GE(all_methods().size(), 2u);
  std::set<std::string> names;
  for (const Method* method : all_methods()) {
    EXPECT_TRUE(names.insert(method->name).second) << method->name;
    EXPECT_EQ(find_method(method->name), method);
    EXPECT_FALSE(std::string(method->verb).empty()) << method->name;
    EXPECT_FALSE(std::string(method->summary).empty()) << method->name;
    EXPECT_NE(std::string(method->help).find("Examples:\n  penjing " + std::string(method->verb)),
              std::string::npos)
        << method->name << ": the help shows an example";
  }
  EXPECT_EQ(find_method("quantise"), nullptr);
  EXPECT_EQ(find_method(""), nullptr);
}

// What a method declares about its parameters must hold: the defaults are themselves accepted.
TEST(MethodRegistry, DefaultsResolveToThemselves) {
  for (const Method* method : all_methods()) {
    const Json resolved = resolve_params(*method, Json::object());
    EXPECT_EQ(resolved, resolve_params(*method, resolved)) << method->name;
    EXPECT_EQ(resolved, resolve_params(*method, nullptr)) << method->name;
    for (const ParamInfo& info : method->params()) {
      EXPECT_FALSE(info.help.empty()) << method->name << "." << info.name;
      ASSERT_NE(resolved.find(info.name), nullptr) << method->name << "." << info.name;
      EXPECT_EQ(*resolved.find(info.name), info.default_value) << method->name << "." << info.name;
    }
  }
}

// One parameter of each type.
struct EveryType {
  bool keep = true;
  int64_t rank = 8;
  double sparsity = 0.5;
  std::string prefix = "x", pattern = "2:4";
  std::vector<std::string> exclude = {"a", "b"};

  template <class Visitor>
  void visit(Visitor& v) {
    v.flag("keep", keep, "a flag");
    v.integer("rank", rank, 1, 64, "an integer");
    v.number("sparsity", sparsity, 0, 0.9, "a number");
    v.text("prefix", prefix, "a text");
    v.choice("pattern", pattern, {"2:4", "4x1"}, "a choice");
    v.list("exclude", exclude, "a list");
  }
};

const Method kEveryType = {"every_type", "toy", "", "", Needs::kNothing, list_params<EveryType>, nullptr};

TEST(ResolveParams, KeepsWhatIsGivenAndFillsTheRest) {
  const Json given = Json::object({{"rank", 3}, {"exclude", string_list({"head"})}, {"keep", false}});
  const auto params = read_params<EveryType>(resolve_params(kEveryType, given));
  EXPECT_FALSE(params.keep);
  EXPECT_EQ(params.rank, 3);
  EXPECT_EQ(params.sparsity, 0.5);
  EXPECT_EQ(params.prefix, "x");
  EXPECT_EQ(params.pattern, "2:4");
  EXPECT_EQ(params.exclude, std::vector<std::string>{"head"});
}

TEST(ResolveParams, AnIntegerIsANumberAndRangesIncludeTheirEnds) {
  EXPECT_EQ(read_params<EveryType>(resolve_params(kEveryType, Json::object({{"sparsity", 0}}))).sparsity, 0);
  EXPECT_EQ(read_params<EveryType>(resolve_params(kEveryType, Json::object({{"sparsity", 0.9}}))).sparsity,
            0.9);
  for (const int rank : {1, 64}) {
    EXPECT_EQ(read_params<EveryType>(resolve_params(kEveryType, Json::object({{"rank", rank}}))).rank, rank);
  }
}

TEST(ResolveParams, RefusesWrongTypesRangesAndChoicesByName) {
  const std::pair<const char*, Json> cases[] = {
      {"keep", 1},         {"keep", "true"},   {"keep", nullptr},    {"rank", 0},
      {"rank", 65},        {"rank", 1.5},      {"rank", "8"},        {"rank", Json(int64_t{1} << 62)},
      {"sparsity", -0.01}, {"sparsity", 0.91}, {"sparsity", "half"}, {"prefix", 1},
      {"pattern", "2:8"},  {"pattern", 2},     {"exclude", "a"},     {"exclude", Json(Json::Array{Json(1)})},
  };
  for (const auto& [name, value] : cases) {
    const Error error = error_of([&] { (void)resolve_params(kEveryType, Json::object({{name, value}})); });
    EXPECT_EQ(error.kind(), ErrorKind::kInput) << name << " = " << value.dump();
    EXPECT_TRUE(says(error, std::string("every_type: ") + name + ": wanted")) << error.what();
    EXPECT_TRUE(says(error, "found " + value.dump())) << error.what();
  }
  EXPECT_TRUE(says(error_of([] {
                     (void)resolve_params(kEveryType, Json::object({{"pattern", "3"}}));
                   }),
                   "2:4 | 4x1"));
  EXPECT_TRUE(says(error_of([] {
                     (void)resolve_params(kEveryType, Json::object({{"rank", 65}}));
                   }),
                   "[1, 64]"));
}

TEST(ResolveParams, AnUnknownKeyNamesTheNearest) {
  const std::pair<const char*, const char*> cases[] = {
      {"sparcity", "sparsity"}, {"excludes", "exclude"}, {"rnak", "rank"}, {"Keep", "keep"}};
  for (const auto& [wrong, wanted] : cases) {
    const Error error = error_of([&] { (void)resolve_params(kEveryType, Json::object({{wrong, 1}})); });
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_TRUE(says(error, fmt::format("\"{}\"", wrong))) << error.what();
    EXPECT_TRUE(says(error, fmt::format("did you mean \"{}\"", wanted))) << error.what();
  }
}

TEST(ResolveParams, RefusesWhatIsNoObject) {
  for (const Json& given : {Json(3), Json("w8a8"), Json::array()}) {
    EXPECT_TRUE(says(error_of([&] { (void)resolve_params(kEveryType, given); }), "every_type"))
        << given.dump();
  }
}

}  // namespace
}  // namespace penjing
