#include "base/parse.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace penjing {
namespace {

TEST(Parse, NumbersAreWholeTexts) {
  EXPECT_EQ(as_number("-2.5e-3"), -0.0025);
  EXPECT_EQ(as_number("0"), 0.0);
  for (const char* wrong : {"", " 1", "1 ", "1,5", "x", "1e", "0x10"})
    EXPECT_FALSE(as_number(wrong)) << wrong;
  EXPECT_EQ(parse_number("7", "seven"), 7);
  EXPECT_EQ(parse_integer("-7", "seven"), -7);
  for (const char* wrong : {"", "1.0", "99999999999999999999"}) EXPECT_THROW(parse_integer(wrong, ""), Error);
  try {
    parse_number("much", "rate");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(error.what()).find("rate"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("much"), std::string::npos);
  }
}

TEST(Parse, SplitKeepsEmptyPieces) {
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(split_at("a,b", ','), (Pieces{"a", "b"}));
  EXPECT_EQ(split_at("", ','), (Pieces{""}));
  EXPECT_EQ(split_at(",a,,", ','), (Pieces{"", "a", "", ""}));
}

TEST(Parse, ListsOfIntegers) {
  EXPECT_EQ(parse_integers("3", "what", 0, 5), std::vector<int64_t>{3});
  EXPECT_EQ(parse_integers("3,0, 5", "what", 0, 5), (std::vector<int64_t>{3, 0, 5}));
  for (const char* text : {"", "3,", "3,x", "6", "-1", "3;4"})
    EXPECT_THROW((void)parse_integers(text, "what", 0, 5), Error) << text;
}

}  // namespace
}  // namespace penjing
