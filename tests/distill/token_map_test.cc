#include "distill/token_map.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "tests/base/test_folder.h"

namespace penjing::distill {
namespace {

class TokenMaps : public ::testing::Test {
 protected:
  std::shared_ptr<const Tokenizer> bert(const std::vector<std::string>& words, bool lower = true) {
    const auto folder = next();
    std::ofstream vocab(folder / "vocab.txt");
    for (const char* special : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) vocab << special << "\n";
    for (const std::string& word : words) vocab << word << "\n";
    vocab.close();
    std::ofstream(folder / "tokenizer_config.json")
        << "{\"do_lower_case\": " << (lower ? "true" : "false") << "}";
    return Tokenizer::load(folder);
  }
  // MPNet's: <s> and </s> around texts, BERT's own special tokens as words that nobody writes.
  std::shared_ptr<const Tokenizer> mpnet(const std::vector<std::string>& words) {
    const auto folder = next();
    Json vocab = Json::object();
    int64_t id = 0;
    for (const char* special :
         {"<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})
      vocab.set(special, id++);
    for (const std::string& word : words) vocab.set(word, id++);
    vocab.set("<mask>", id);
    Json added = Json::array();
    for (const char* special : {"<s>", "<pad>", "</s>", "[UNK]", "<mask>"})
      added.push_back(Json::object({{"id", *vocab.find(special)}, {"content", special}, {"special", true}}));
    const auto fixed = [&](const char* token) { return Json(Json::Array{Json(token), *vocab.find(token)}); };
    const Json root = Json::object(
        {{"added_tokens", added},
         {"normalizer", Json::object({{"type", "BertNormalizer"}, {"lowercase", true}})},
         {"pre_tokenizer", Json::object({{"type", "BertPreTokenizer"}})},
         {"post_processor",
          Json::object({{"type", "RobertaProcessing"}, {"sep", fixed("</s>")}, {"cls", fixed("<s>")}})},
         {"model", Json::object({{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", vocab}})}});
    std::ofstream(folder / "tokenizer.json") << root.dump();
    std::ofstream(folder / "tokenizer_config.json") << R"({"mask_token": "<mask>"})";
    return Tokenizer::load(folder);
  }
  std::filesystem::path next() {
    const auto folder = work_ / std::to_string(count_++);
    std::filesystem::create_directories(folder);
    return folder;
  }
  static std::vector<int64_t> mapped(const TokenMap& map, const std::vector<int32_t>& ids) {
    std::vector<int64_t> out;
    for (const int32_t id : ids) out.push_back(map.ids.at(static_cast<std::size_t>(id)));
    return out;
  }
  static std::string refusal(const Tokenizer& student, const Tokenizer& teacher) {
    try {
      (void)map_tokens(student, teacher);
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  }
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  int count_ = 0;
};

TEST_F(TokenMaps, EqualVocabulariesNeedNone) {
  EXPECT_TRUE(map_tokens(*bert({"cat", "dog"}), *bert({"cat", "dog"})).ids.empty());
}

TEST_F(TokenMaps, APartOfTheTeachersVocabularyIsFoundByText) {
  const auto student = bert({"dog", "cat"}), teacher = bert({"cat", "##s", "dog"});
  const TokenMap map = map_tokens(*student, *teacher);
  const auto wanted = teacher->encode("dog cat bird").ids;
  EXPECT_EQ(mapped(map, student->encode("dog cat bird").ids),
            std::vector<int64_t>(wanted.begin(), wanted.end()));
  EXPECT_TRUE(map.pairs);
}

TEST_F(TokenMaps, MpnetReadsWhatBertsTokenizerCuts) {
  const auto student = bert({"dog", "cat", "##s"}), teacher = mpnet({"cat", "##s", "dog"});
  const TokenMap map = map_tokens(*student, *teacher);
  const std::string text = "Dogs cats [MASK] bird";
  auto wanted = teacher->encode("Dogs cats <mask> bird").ids;
  EXPECT_EQ(mapped(map, student->encode(text).ids), std::vector<int64_t>(wanted.begin(), wanted.end()));
  EXPECT_EQ(wanted.front(), 0);  // <s>
  EXPECT_FALSE(map.pairs);       // </s></s> between two texts
  const auto pair = teacher->encode_pair("cat", "dog");
  const int32_t cat = teacher->find_token("cat"), dog = teacher->find_token("dog");
  EXPECT_EQ(pair.ids, (std::vector<int32_t>{0, cat, 2, 2, dog, 2}));
  EXPECT_EQ(pair.type_ids, std::vector<int32_t>(6, 0));
}

TEST_F(TokenMaps, WhatDiffersIsNamed) {
  EXPECT_NE(refusal(*bert({"cat", "bird"}), *bert({"cat"})).find("\"bird\""), std::string::npos);
  EXPECT_NE(refusal(*bert({"cat"}, false), *bert({"cat", "dog"})).find("lowercase false"), std::string::npos);
}

}  // namespace
}  // namespace penjing::distill
