#include "compress/layer_choice.h"

#include <gtest/gtest.h>

#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

using Layers = std::vector<int>;

TEST(LayerChoice, ThePapersChoices) {
  EXPECT_EQ(choose_layers("uniform", 6, 12), (Layers{0, 2, 4, 7, 9, 11}));  // DistilBERT
  EXPECT_EQ(choose_layers("uniform", 3, 12), (Layers{0, 6, 11}));
  EXPECT_EQ(choose_layers("uniform", 1, 12), Layers{0});
  EXPECT_EQ(choose_layers("skip", 6, 12), (Layers{1, 3, 5, 7, 9, 11}));  // PKD
  EXPECT_EQ(choose_layers("skip", 3, 12), (Layers{3, 7, 11}));
  EXPECT_EQ(choose_layers("first", 4, 12), (Layers{0, 1, 2, 3}));
  EXPECT_EQ(choose_layers("last", 4, 12), (Layers{8, 9, 10, 11}));
  EXPECT_EQ(choose_layers("alternate", 8, 12), (Layers{0, 1, 2, 3, 5, 7, 9, 11}));
  EXPECT_EQ(choose_layers("alternate", 6, 12), (Layers{1, 3, 5, 7, 9, 11}));
  EXPECT_EQ(choose_layers("symmetric", 8, 12), (Layers{0, 1, 2, 3, 8, 9, 10, 11}));
  EXPECT_EQ(choose_layers("symmetric", 5, 12), (Layers{0, 1, 2, 10, 11}));
  EXPECT_EQ(choose_layers("0,3, 5", 0, 6), (Layers{0, 3, 5}));
  EXPECT_EQ(choose_layers("4", 1, 6), Layers{4});
}

TEST(LayerChoice, AllLayersAreAllLayers) {
  for (const char* from : {"uniform", "first", "last", "skip", "alternate", "symmetric"}) {
    for (const int64_t count : {0, 5})
      EXPECT_EQ(choose_layers(from, count, 5), (Layers{0, 1, 2, 3, 4})) << from;
  }
}

TEST(LayerChoice, EveryRuleGivesAscendingLayersOfTheTeacher) {
  for (int64_t all = 1; all <= 24; ++all) {
    for (int64_t count = 1; count <= all; ++count) {
      for (const char* from : {"uniform", "first", "last", "skip", "alternate", "symmetric"}) {
        if (from == std::string("skip") && all % count != 0) continue;
        if (from == std::string("alternate") && 2 * count < all) continue;
        const Layers layers = choose_layers(from, count, all);
        ASSERT_EQ(static_cast<int64_t>(layers.size()), count) << from;
        for (std::size_t i = 0; i < layers.size(); ++i) {
          EXPECT_LT(layers[i], all) << from;
          EXPECT_GT(layers[i], i == 0 ? -1 : layers[i - 1]) << from << " " << count << " of " << all;
        }
      }
    }
  }
}

TEST(LayerChoice, RefusesWhatCannotBeHad) {
  const auto message = [](const std::string& from, int64_t count) {
    const Error error = error_of([&] { (void)choose_layers(from, count, 12); });
    EXPECT_EQ(error.kind(), ErrorKind::kInput) << from;
    return std::string(error.what());
  };
  EXPECT_NE(message("uniform", 13).find("the teacher has 12"), std::string::npos);
  EXPECT_NE(message("skip", 5).find("do not divide"), std::string::npos);
  EXPECT_NE(message("alternate", 5).find("half"), std::string::npos);
  EXPECT_NE(message("middle", 5).find("symmetric"), std::string::npos);
  EXPECT_NE(message("0,12", 0).find("outside"), std::string::npos);
  EXPECT_NE(message("3,2", 0).find("ascending"), std::string::npos);
  EXPECT_NE(message("2,2", 0).find("ascending"), std::string::npos);
  EXPECT_NE(message("0,1", 3).find("lists 2"), std::string::npos);
  EXPECT_NE(message("0,,1", 0).find("no integer"), std::string::npos);
}

}  // namespace
}  // namespace penjing
