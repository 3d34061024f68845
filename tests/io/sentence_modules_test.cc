#include "io/sentence_modules.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/safetensors.h"
#include "tests/base/test_folder.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

const char* const kModules = R"([
  {"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
  {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
  {"idx":2,"name":"2","path":"2_Dense","type":"sentence_transformers.models.Dense"},
  {"idx":3,"name":"3","path":"3_Normalize","type":"sentence_transformers.models.Normalize"}])";

void write_modules(const TestFolder& folder, const std::string& pooling,
                   const std::string& modules = kModules) {
  write_bytes(folder / "modules.json", modules);
  write_bytes(folder / "1_Pooling/config.json", pooling);
  write_bytes(
      folder / "2_Dense/config.json",
      R"({"in_features":8,"out_features":3,"bias":true,"activation_function":"torch.nn.modules.linear.Identity"})");
  Rng rng(1);
  TensorMap dense;
  dense.set("linear.weight", random_tensor({3, 8}, rng));
  dense.set("linear.bias", random_tensor({3}, rng));
  write_safetensors(folder / "2_Dense/model.safetensors", dense);
}

TEST(SentenceModules, OldForm) {
  const TestFolder folder("modules-old");
  write_modules(
      folder, R"({"word_embedding_dimension":8,"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true,
                            "pooling_mode_max_tokens":false,"include_prompt":false})");
  write_bytes(folder / "sentence_bert_config.json", R"({"max_seq_length":7,"do_lower_case":false})");
  write_bytes(folder / "config_sentence_transformers.json",
              R"({"prompts":{"query":"q: ","document":"d: "},"default_prompt_name":"query"})");
  Model model = tiny_bert();
  read_sentence_modules(folder.path(), model);
  ASSERT_EQ(model.sentence.modules.size(), 3u);
  EXPECT_EQ(model.sentence.modules[0].pooling.modes,
            (std::vector<PoolingMode>{PoolingMode::kCls, PoolingMode::kMean}));
  EXPECT_FALSE(model.sentence.modules[0].pooling.include_prompt);
  EXPECT_EQ(model.sentence.modules[1].dense.out, 3);
  EXPECT_EQ(model.sentence.modules[1].activation, Activation::kNone);
  EXPECT_EQ(model.sentence.modules[2].kind, SentenceModule::Kind::kNormalize);
  EXPECT_NE(model.tensors.find("2_Dense.linear.weight"), nullptr);
  EXPECT_EQ(model.sentence.max_seq_length, 7);
  EXPECT_EQ(model.sentence.prompts.size(), 2u);
  EXPECT_EQ(model.sentence.default_prompt, "query");
}

TEST(SentenceModules, NewForm) {
  const TestFolder folder("modules-new");
  Model model = tiny_bert();
  write_modules(folder, R"({"embedding_dimension":8,"pooling_mode":"lasttoken"})");
  read_sentence_modules(folder.path(), model);
  EXPECT_EQ(model.sentence.modules[0].pooling.modes, std::vector<PoolingMode>{PoolingMode::kLastToken});
  EXPECT_TRUE(model.sentence.modules[0].pooling.include_prompt);
  write_modules(folder, R"({"pooling_mode":["max","weightedmean"]})");
  Model two = tiny_bert();
  read_sentence_modules(folder.path(), two);
  EXPECT_EQ(two.sentence.modules[0].pooling.modes,
            (std::vector<PoolingMode>{PoolingMode::kMax, PoolingMode::kWeightedMean}));
}

TEST(SentenceModules, NoneIsNoError) {
  const TestFolder folder("modules-none");
  Model model = tiny_bert();
  read_sentence_modules(folder.path(), model);
  EXPECT_TRUE(model.sentence.modules.empty());
}

TEST(SentenceModules, WhatIsNotKnownIsRefused) {
  const char* poolings[] = {R"({"pooling_mode":"attention"})",
                            R"({"pooling_mode":3})",
                            R"({"pooling_mode":[]})",
                            R"({"pooling_mode_magic_tokens":true})",
                            "{}",
                            "[]",
                            "",
                            R"({"pooling_mode":["mean",1]})",
                            R"({"pooling_mode_cls_token":"yes"})"};
  int number = 0;
  for (const char* pooling : poolings) {
    const TestFolder folder("modules-bad-" + std::to_string(number++));
    write_modules(folder, pooling);
    Model model = tiny_bert();
    EXPECT_NE(error_of([&] { read_sentence_modules(folder.path(), model); }), "") << pooling;
  }
  const std::pair<const char*, const char*> lists[] = {
      {R"([{"type":"sentence_transformers.models.WeightedLayerPooling","path":"1_Pooling"}])",
       "WeightedLayerPooling"},
      {R"([{"type":"sentence_transformers.models.Transformer","path":"0_Transformer"}])", "0_Transformer"},
      {R"([{"type":"sentence_transformers.models.Pooling","path":"../1_Pooling"}])", "not a path inside"},
      {R"([{"type":"sentence_transformers.models.Pooling","path":"/etc"}])", "not a path inside"},
      {R"({"type":"x"})", "modules.json"},
      {R"([7])", ""},
      {R"([{"type":7}])", ""}};
  for (const auto& [modules, message] : lists) {
    const TestFolder folder("modules-bad-" + std::to_string(number++));
    write_modules(folder, R"({"pooling_mode":"mean"})", modules);
    Model model = tiny_bert();
    const std::string found = error_of([&] { read_sentence_modules(folder.path(), model); });
    EXPECT_NE(found, "") << modules;
    EXPECT_NE(found.find(message), std::string::npos) << found;
  }
}

}  // namespace
}  // namespace penjing
