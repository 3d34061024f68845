#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

bool parses(const std::string& text, const JsonLimits& limits = {}) {
  try {
    (void)Json::parse(text, "t.json", limits);
    return true;
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("t.json")) << error.what();
    return false;
  }
}

TEST(Json, WhatIsAccepted) {
  for (const char* text : {"null",
                           "true",
                           "false",
                           "0",
                           "-0",
                           "12",
                           "-9223372036854775808",
                           "9223372036854775807",
                           "1e3",
                           "1.5E-3",
                           "\"\"",
                           "\"a\\u00e9\\n\\\"\\\\\\/\"",
                           "\"\\ud83d\\ude00\"",
                           "[]",
                           "[1,[2,[3]]]",
                           "{}",
                           " {\"a\" : 1 } \n",
                           "{\"\":{\"a\":null}}",
                           "\"\x7f\"",
                           "123456789012345678901234567890"}) {
    EXPECT_TRUE(parses(text)) << text;
  }
}

TEST(Json, WhatIsRefused) {
  for (const char* text : {"",
                           " ",
                           "nul",
                           "True",
                           "01",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "0x10",
                           "--1",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "1e999",
                           "-1e999",
                           "\"",
                           "\"\n\"",
                           "\"\t\"",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\udc00x\"",
                           "'a'",
                           "[",
                           "]",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\":1 \"b\":2}",
                           "1 2",
                           "{} {}",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\"\xe2\x82\"",
                           "// c\n1",
                           "/* c */ 1",
                           "\xef\xbb\xbf\x00",
                           "{\"a\":1,\"a\":2}",
                           "{\"b\":{\"a\":1,\"c\":2,\"a\":1}}"}) {
    EXPECT_FALSE(parses(text)) << text;
  }
  EXPECT_FALSE(parses(std::string("1\0", 2)));
}

TEST(Json, Limits) {
  JsonLimits limits;
  limits.max_depth = 4;
  EXPECT_TRUE(parses("[[[[1]]]]", limits));
  EXPECT_FALSE(parses("[[[[[1]]]]]", limits));
  EXPECT_FALSE(parses(std::string(1000000, '[')));
  EXPECT_FALSE(parses("{\"a\":" + std::string(1000000, '[')));
  limits = {};
  limits.max_bytes = 10;
  EXPECT_TRUE(parses("[1,2,3,45]", limits));
  EXPECT_FALSE(parses("[1,2,3,456]", limits));
  limits = {};
  limits.max_key_bytes = 3;
  EXPECT_TRUE(parses("{\"abc\":1}", limits));
  EXPECT_FALSE(parses("{\"abcd\":1}", limits));
  limits = {};
  limits.allow_comments = true;
  EXPECT_TRUE(parses("// one\n{\"a\": /* two */ 1} // three", limits));
  EXPECT_FALSE(parses("{\"a\": /* never closed", limits));
}

TEST(Json, IntegersAndDoublesAreKeptApart) {
  EXPECT_TRUE(Json::parse("7", "").is_int());
  EXPECT_FALSE(Json::parse("7.0", "").is_int());
  EXPECT_EQ(Json::parse("1e3", "").as_int(""), 1000);
  EXPECT_EQ(Json::parse("9223372036854775807", "").as_int(""), std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(Json::parse("9223372036854775808", "").is_int());
  EXPECT_THROW((void)Json::parse("1.5", "").as_int("x"), Error);
  EXPECT_THROW((void)Json::parse("1e300", "").as_int("x"), Error);
  EXPECT_THROW((void)Json::parse("\"7\"", "").as_int("x"), Error);
  EXPECT_THROW((void)Json(1).as_bool("x"), Error);
  try {
    (void)Json::parse("[1]", "").as_object("config.json: a");
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("config.json: a")) << error.what();
  }
}

// What a hostile text gets into a message is escaped, short, and cut between characters.
TEST(Json, MessagesOfHostileTexts) {
  const std::string accents = "caf\xc3\xa9 \xf0\x9f\x98\x80";
  for (std::size_t pad = 0; pad < 8; ++pad) {
    std::string text = "\"" + std::string(pad, 'x');
    for (int i = 0; i < 1000; ++i) text += accents;
    text += "\\u001b[2J\"";
    const std::string wrong = error_of([&] { (void)Json::parse(text, "").as_int("t.json: a"); });
    EXPECT_TRUE(wrong.starts_with("t.json: a: wanted an integer, found string \"")) << wrong;
    EXPECT_LT(wrong.size(), 120u);
    EXPECT_TRUE(parses("\"" + wrong.substr(wrong.find('"') + 1) + "\"")) << wrong;  // still UTF-8
    const std::string twice = error_of([&] {
      JsonLimits limits;
      limits.max_key_bytes = text.size();
      (void)Json::parse("{" + text + ":1," + text + ":2}", "t.json", limits);
    });
    EXPECT_TRUE(twice.starts_with("t.json: duplicate key \"")) << twice;
    EXPECT_LT(twice.size(), 120u);
    EXPECT_TRUE(parses("\"" + twice.substr(twice.find('"') + 1) + "\"")) << twice;
  }
  EXPECT_EQ(error_of([] { (void)Json::parse("{\"\\u001b[2J\":1,\"\\u001b[2J\":2}", "t.json"); }),
            "t.json: duplicate key \"\\u001b[2J\"");
}

// Events of the streaming form, in order, and its limits: the same text, no tree.
TEST(Json, Streaming) {
  struct Recorder : JsonHandler {
    std::string seen;
    void on_null() override { seen += "n "; }
    void on_bool(bool value) override { seen += value ? "t " : "f "; }
    void on_int(int64_t value) override { seen += "i" + std::to_string(value) + " "; }
    void on_double(double value) override { seen += "d" + std::to_string(value) + " "; }
    void on_string(std::string&& value) override { seen += "s" + value + " "; }
    void on_key(std::string&& key) override { seen += key + "= "; }
    void begin_object() override { seen += "{ "; }
    void end_object() override { seen += "} "; }
    void begin_array() override { seen += "[ "; }
    void end_array() override { seen += "] "; }
  };
  Recorder recorder;
  parse_json_stream(R"({"a":[1,-2.5,"x",null],"a":{"b":true,"c":false}})", "t.json", {}, recorder);
  EXPECT_EQ(recorder.seen, "{ a= [ i1 d-2.500000 sx n ] a= { b= t c= f } } ");
  JsonLimits limits;
  limits.max_depth = 2;
  const std::string deep = error_of([&] { parse_json_stream(R"([[1],[[2]]])", "t.json", limits, recorder); });
  EXPECT_EQ(deep, "t.json: nested deeper than 2 levels");
  EXPECT_THROW(parse_json_stream("[1,", "t.json", {}, recorder), Error);
}

// Every double reads back equal, in the order it was written.
TEST(Json, RoundTrip) {
  Rng rng(3);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(rng.bits());
    const std::string text = Json(value).dump();
    if (!std::isfinite(value)) {
      EXPECT_EQ(text, "null");
    } else {
      EXPECT_EQ(Json::parse(text, "").as_double(""), value) << text;
    }
  }
  const char* text = R"({"z":1,"a":[1,2.5,true,null,"\u0001é\"\\"],"m":{"y":{},"b":[]}})";
  const Json json = Json::parse(text, "");
  EXPECT_EQ(json.dump(), text);
  EXPECT_EQ(Json::parse(json.dump(2), ""), json);
  EXPECT_EQ(Json::parse("-0.0", "").dump(), "-0.0");
}

TEST(Json, Members) {
  Json json = Json::parse(R"({"a":1,"b":2,"c":3})", "");
  json.set("b", "two");
  json.set("d", nullptr);
  EXPECT_EQ(json.dump(), R"({"a":1,"b":"two","c":3,"d":null})");
  EXPECT_TRUE(json.erase("a"));
  EXPECT_FALSE(json.erase("a"));
  EXPECT_EQ(json.find("a"), nullptr);
  EXPECT_EQ(Json(5).find("a"), nullptr);
  EXPECT_EQ(json.dump(), R"({"b":"two","c":3,"d":null})");
}

// Never anything but a value or an Error, and a value is what its own text says.
TEST(Json, TenThousandMutations) {
  const std::string whole =
      R"({"model_type":"bert","sizes":[12,768,3072.5,-1e-12],"name":"caf\u00e9 \ud83d\ude00","deep":{"a":{"b":[[],{}]}},"ok":true,"none":null})";
  Rng rng(4);
  int accepted = 0;
  for (int round = 0; round < 10000; ++round) {
    std::string text = whole;
    for (uint64_t edits = 1 + rng.below(3); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = rng.below(text.size());
      switch (rng.below(4)) {
        case 0:
          text[at] = static_cast<char>(rng.below(256));
          break;
        case 1:
          text.erase(at, 1 + rng.below(4));
          break;
        case 2:
          text.insert(at, 1, "{}[],:\"\\0-.eu\n"[rng.below(14)]);
          break;
        default:
          text.resize(at);
          break;
      }
    }
    try {
      const Json json = Json::parse(text, "t.json");
      EXPECT_EQ(Json::parse(json.dump(), ""), json) << text;
      ++accepted;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFormat) << error.what();
    }
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace penjing
