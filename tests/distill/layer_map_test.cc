#include "distill/layer_map.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace penjing::distill {
namespace {

LayerMap map_of(const char* json, int64_t student, int64_t teacher) {
  return read_layer_map(Json::parse(json, "map"), student, teacher, "losses.0.layers");
}

std::string pairs_of(const char* json, int64_t student, int64_t teacher) {
  return to_json(map_of(json, student, teacher)).dump();
}

// The papers' own lists.
TEST(LayerMap, RulesAreThePapers) {
  EXPECT_EQ(pairs_of("\"uniform\"", 4, 12), "[[1,3],[2,6],[3,9],[4,12]]");  // TinyBERT
  EXPECT_EQ(pairs_of("\"uniform\"", 6, 6), "[[1,1],[2,2],[3,3],[4,4],[5,5],[6,6]]");
  EXPECT_EQ(pairs_of("\"uniform\"", 5, 12), "[[1,2],[2,5],[3,7],[4,10],[5,12]]");  // 2.4 4.8 7.2 9.6 12
  EXPECT_EQ(pairs_of("\"uniform\"", 4, 2), "[[1,1],[2,1],[3,2],[4,2]]");           // 0.5 rounds up
  EXPECT_EQ(pairs_of("\"skip\"", 6, 12), "[[1,2],[2,4],[3,6],[4,8],[5,10]]");      // PKD
  EXPECT_EQ(pairs_of("\"skip\"", 3, 12), "[[1,4],[2,8]]");
  EXPECT_EQ(pairs_of("\"last\"", 6, 12), "[[1,7],[2,8],[3,9],[4,10],[5,11]]");
  EXPECT_EQ(pairs_of("\"top\"", 4, 12), "[[1,9],[2,10],[3,11],[4,12]]");
  EXPECT_EQ(pairs_of("\"bottom\"", 3, 12), "[[1,1],[2,2],[3,3]]");
  EXPECT_EQ(pairs_of("\"final\"", 3, 12), "[[3,12]]");
}

TEST(LayerMap, ExplicitPairsCountFromTheEndToo) {
  const LayerMap map = map_of("[[0, 0], [2, -2], [-1, -1]]", 3, 12);
  EXPECT_EQ(to_json(map).dump(), "[[0,0],[2,11],[3,12]]");
  EXPECT_EQ(map.num_places(), 3u);
  EXPECT_EQ(describe(map), "0-0 2-11 3-12");
}

TEST(LayerMap, AttentionMixesLayers) {
  EXPECT_EQ(to_json(map_of("\"attention\"", 2, 3)).dump(), R"({"attention":[1,2],"teacher":[1,2,3]})");
  const LayerMap map = map_of(R"({"attention": [-1], "teacher": [2, -1]})", 3, 12);
  EXPECT_EQ(to_json(map).dump(), R"({"attention":[3],"teacher":[2,12]})");
  EXPECT_EQ(describe(map), "3 with a mixture of 2 12");
  EXPECT_EQ(map.num_places(), 1u);
}

TEST(LayerMap, ErrorsNameTheKey) {
  const auto message = [](const char* json, int64_t student, int64_t teacher) {
    try {
      map_of(json, student, teacher);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return std::string(error.what());
    }
    ADD_FAILURE() << json << " was taken";
    return std::string();
  };
  EXPECT_EQ(message("[[1, 13]]", 3, 12),
            "losses.0.layers: layer 13, but the teacher has 12 (0 is its embeddings, -1 its last)");
  EXPECT_EQ(message("[[-5, 1]]", 3, 12),
            "losses.0.layers: layer -5, but the student has 3 (0 is its embeddings, -1 its last)");
  EXPECT_EQ(message("\"top\"", 4, 3),
            "losses.0.layers: \"top\" wants a teacher of as many layers at least: 3, but the student has 4");
  EXPECT_EQ(message("\"skip\"", 1, 3), "losses.0.layers: \"skip\" leaves no layer of a student with one");
  EXPECT_EQ(message("[[1]]", 3, 12), "losses.0.layers: [1], wanted [student, teacher]");
  EXPECT_EQ(message(R"({"attention": [1, 1]})", 3, 12), "losses.0.layers.attention: layer 1 is there twice");
  EXPECT_EQ(message(R"({"teacher": [1]})", 3, 12),
            "losses.0.layers: no \"attention\": [layers of the student]");
  EXPECT_EQ(message(R"({"students": [1]})", 3, 12),
            "losses.0.layers: unknown key \"students\"; there are: attention, teacher");
  EXPECT_NE(message("\"middle\"", 3, 12).find("losses.0.layers: \"middle\", wanted \"uniform\""),
            std::string::npos);
  EXPECT_NE(message("3", 3, 12).find("losses.0.layers: 3, wanted"), std::string::npos);
}

}  // namespace
}  // namespace penjing::distill
