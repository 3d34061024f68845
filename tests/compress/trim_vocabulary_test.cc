// Trimming on a vocabulary written here, and on real texts and the vocabulary of BERT in $PENJING_DATA;
// against Hugging Face `tokenizers`: tools/oracles/trimmed_vocabulary.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/thread_pool.h"
#include "data/text_lines.h"
#include "io/model_folder.h"
#include "model/new_model.h"
#include "runtime/engine.h"
#include "tests/base/test_folder.h"
#include "tests/compress/tiny_model.h"
#include "text/tokenizer.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;

class TrimVocabulary : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name, std::ios::binary) << text;
    return (folder / name).string();
  }
  // A BERT with masked-LM head for the vocabulary, written and read back.
  Model make_model(int64_t vocabulary, const std::vector<SideFile>& files, bool untied = false) const {
    Model model = new_bert({.layers = 1,
                            .hidden = 16,
                            .heads = 2,
                            .intermediate = 24,
                            .max_positions = 512,
                            .vocab_size = vocabulary},
                           3);
    Rng rng(8);
    model.tensors.set("cls.predictions.bias", random_tensor({vocabulary}, rng));
    if (untied) {
      model.tensors.set("cls.predictions.decoder.weight", random_tensor({vocabulary, 16}, rng));
      model.tensors.set("cls.predictions.decoder.bias", model.tensors.at("cls.predictions.bias"));
    }
    complete_model(model);
    model.side_files = files;
    write_model(model, folder / "teacher");
    return read_model(folder / "teacher");
  }
  Model trim(const Model& model, const Json& given) const {
    const Model trimmed = apply_method("trim_vocabulary", model, given).model;
    fs::remove_all(folder / "trimmed");
    write_model(trimmed, folder / "trimmed");
    return read_model(folder / "trimmed");
  }
  TestFolder folder{"trim_vocabulary"};
};

constexpr const char* kTokens[] = {"[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]",  "[MASK]", "tree", "the",
                                   "tre",   "##es",      "##e",   "##s",   "house",  "##hold", "a",    "##x",
                                   "un",    "u",         "##n",   "##do",  "##able", "zeal",   "."};

std::string vocab_text() {
  std::string text;
  for (const char* token : kTokens) text += std::string(token) + "\n";
  return text;
}

std::vector<std::string> tokens_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::string> tokens;
  for (const int32_t id : tokenizer.encode(text).ids) tokens.emplace_back(tokenizer.token(id));
  return tokens;
}

bool has(const Tokenizer& tokenizer, const char* token) {
  return tokenizer.find_token(token) >= 0;
}

TEST_F(TrimVocabulary, KeepsPiecesOfTheTextsAndWhatMustStay) {
  const Model model = make_model(std::size(kTokens), {{"vocab.txt", vocab_text()}});
  const std::string texts = write("texts.txt", "The trees.\nHousehold\n");
  const auto before = Tokenizer::load(folder / "teacher");
  const Model trimmed = trim(model, Json::object({{"texts", string_list({texts.c_str()})}}));
  const auto after = Tokenizer::load(folder / "trimmed");
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "tree", "##s", "house",
                            "##hold", ".", "a", "##x", "u", "##n", "##e"})
    EXPECT_TRUE(has(*after, token)) << token;
  for (const char* token : {"[unused0]", "tre", "##es", "un", "##do", "##able", "zeal"})
    EXPECT_FALSE(has(*after, token)) << token;
  EXPECT_EQ(after->vocab_size(), 16);
  EXPECT_EQ(trimmed.config.find("vocab_size")->as_int(""), 16);
  EXPECT_EQ(trimmed.config.find("pad_token_id")->as_int(""), 0);
  EXPECT_EQ(tokens_of(*after, "the trees"), tokens_of(*before, "the trees"));
  EXPECT_EQ(tokens_of(*after, "una"),
            (std::vector<std::string>{"[CLS]", "[UNK]", "[SEP]"}));  // no ##a to spell with

  const Model bare =
      trim(model, Json::object({{"texts", string_list({texts.c_str()})}, {"characters", false}}));
  EXPECT_EQ(bare.config.find("vocab_size")->as_int(""), 11);
  const Model often = trim(model, Json::object({{"texts", string_list({texts.c_str()})}, {"min_count", 2}}));
  EXPECT_EQ(Tokenizer::load(folder / "trimmed")->find_token("house"), -1);
}

// "treesz": in the whole vocabulary tree, ##s, and then nothing fits. Were "tree" gone because no text has it
// as a piece, "tre", "##e" ... could fit where nothing did.
TEST_F(TrimVocabulary, UnknownWordsStayUnknown) {
  const Model model = make_model(std::size(kTokens), {{"vocab.txt", vocab_text()}});
  // unable = un ##able; undox: un ##do ##x; "uno" is unknown after "un". Without "un", "u ##n" leads
  // elsewhere.
  const std::string texts = write("texts.txt", "the unoa\ntreez house\n");
  (void)trim(model, Json::object({{"texts", string_list({texts.c_str()})}}));
  const auto before = Tokenizer::load(folder / "teacher"), after = Tokenizer::load(folder / "trimmed");
  EXPECT_TRUE(has(*after, "un"));
  EXPECT_TRUE(has(*after, "tree"));
  for (const char* text : {"the unoa", "treez house"})
    EXPECT_EQ(tokens_of(*after, text), tokens_of(*before, text));
}

// What another greedy path would do: "abc" is unknown with "ab" (no "##c"), but spelled by a ##bc.
TEST_F(TrimVocabulary, AWordThatShorterPiecesCouldSpellStaysUnknown) {
  const char* tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ab", "a", "##bc", "x", "##bcbc"};
  std::string vocabulary;
  for (const char* token : tokens) vocabulary += std::string(token) + "\n";
  const Model model = make_model(std::size(tokens), {{"vocab.txt", vocabulary}});
  const std::string texts = write("texts.txt", "abc xbc\nabcbc\n");
  const auto before = Tokenizer::load(folder / "teacher");
  ASSERT_EQ(tokens_of(*before, "abc"), (std::vector<std::string>{"[CLS]", "[UNK]", "[SEP]"}));
  (void)trim(model, Json::object({{"texts", string_list({texts.c_str()})}}));
  const auto after = Tokenizer::load(folder / "trimmed");
  EXPECT_EQ(tokens_of(*after, "abc xbc"), tokens_of(*before, "abc xbc"));
  EXPECT_TRUE(has(*after, "ab"));
}

TEST_F(TrimVocabulary, EveryFileSaysTheNewIds) {
  Json vocabulary = Json::object();
  for (std::size_t i = 0; i < std::size(kTokens); ++i) vocabulary.set(kTokens[i], static_cast<int64_t>(i));
  Json added = Json::array(), decoder = Json::object();
  for (const int64_t id : {0, 2, 3, 4, 5}) {
    added.push_back(
        Json::object({{"id", id}, {"content", kTokens[id]}, {"special", true}, {"normalized", false}}));
    decoder.set(std::to_string(id), Json::object({{"content", kTokens[id]}, {"special", true}}));
  }
  added.push_back(
      Json::object({{"id", 23}, {"content", "<brand>"}, {"special", false}, {"normalized", false}}));
  decoder.set("23", Json::object({{"content", "<brand>"}}));
  Json sep(Json::Array{Json("[SEP]"), Json(4)}), cls(Json::Array{Json("[CLS]"), Json(3)});
  const Json tokenizer = Json::object(
      {{"version", "1.0"},
       {"padding", Json::object({{"pad_id", 0}, {"pad_token", "[PAD]"}})},
       {"added_tokens", added},
       {"normalizer", Json::object({{"type", "BertNormalizer"}})},
       {"pre_tokenizer", Json::object({{"type", "BertPreTokenizer"}})},
       {"post_processor", Json::object({{"type", "BertProcessing"}, {"sep", sep}, {"cls", cls}})},
       {"model", Json::object({{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}})}});
  Model model =
      make_model(24, {{"tokenizer.json", tokenizer.dump()},
                      {"vocab.txt", vocab_text()},
                      {"added_tokens.json", R"({"<brand>": 23})"},
                      {"tokenizer_config.json", Json::object({{"added_tokens_decoder", decoder}}).dump()}});
  model.config.set("sep_token_id", 4);
  const std::string texts = write("texts.txt", "the <brand> house\n");
  const Model trimmed =
      trim(model, Json::object({{"texts", string_list({texts.c_str()})}, {"characters", false}}));
  // [PAD] [UNK] [CLS] [SEP] [MASK] the house <brand>
  EXPECT_EQ(trimmed.config.find("vocab_size")->as_int(""), 8);
  EXPECT_EQ(trimmed.config.find("sep_token_id")->as_int(""), 3);
  const auto after = Tokenizer::load(folder / "trimmed");
  EXPECT_EQ(tokens_of(*after, "the <brand> house"),
            (std::vector<std::string>{"[CLS]", "the", "<brand>", "house", "[SEP]"}));
  EXPECT_EQ(after->find_token("<brand>"), 7);
  for (const SideFile& file : trimmed.side_files) {
    const std::string text(file.text());
    if (file.path == "vocab.txt") {
      EXPECT_EQ(text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nhouse\n");
    } else if (file.path == "added_tokens.json") {
      EXPECT_EQ(Json::parse(text, "").find("<brand>")->as_int(""), 7);
    } else if (file.path == "tokenizer_config.json") {
      const Json root = Json::parse(text, "");
      const Json* tokens = root.find("added_tokens_decoder");
      EXPECT_EQ(tokens->as_object("").size(), 6u);
      EXPECT_EQ(tokens->find("3")->find("content")->as_string(""), "[SEP]");
      EXPECT_EQ(tokens->find("7")->find("content")->as_string(""), "<brand>");
    } else if (file.path == "tokenizer.json") {
      const Json root = Json::parse(text, "");
      EXPECT_EQ(root.find("post_processor")->find("sep")->dump(), "[\"[SEP]\",3]");
      EXPECT_EQ(root.find("model")->find("vocab")->dump(),
                R"({"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"the":5,"house":6})");
    }
  }
}

TEST_F(TrimVocabulary, RefusesWhatItCannotTrim) {
  const Model model = make_model(std::size(kTokens), {{"vocab.txt", vocab_text()}});
  const auto expect = [&](const Model& subject, const Json& given, std::string_view text) {
    const Error error = error_of([&] { (void)apply_method("trim_vocabulary", subject, given); });
    EXPECT_TRUE(says(error, text)) << error.what();
  };
  const std::string texts = write("texts.txt", "the\n"), none = write("none.txt", "");
  expect(model, Json::object(), "no file");
  expect(model, Json::object({{"texts", string_list({none.c_str()})}}), "no text");
  expect(model, Json::object({{"texts", string_list({"/no/such/file"})}}), "/no/such/file");
  Model homeless = model;
  homeless.folder.clear();
  expect(homeless, Json::object({{"texts", string_list({texts.c_str()})}}), "no folder");
  fs::remove_all(folder / "teacher");
  expect(make_model(20, {{"vocab.txt", vocab_text()}}),
         Json::object({{"texts", string_list({texts.c_str()})}}),
         "the tokenizer has 23 tokens, the embedding table 20");
}

// BERT's own vocabulary on real sentences: pieces and every output, bit for bit, of INT8 tables too.
// MobileBERT's head goes on where the word embeddings end: those columns lose the same words.
TEST_F(TrimVocabulary, AHeadThatIsWiderThanTheTableFollows) {
  Model model = new_model(Json::object({{"model_type", "mobilebert"},
                                        {"architectures", Json(Json::Array{Json("MobileBertForMaskedLM")})},
                                        {"vocab_size", static_cast<int64_t>(std::size(kTokens))},
                                        {"embedding_size", 6},
                                        {"hidden_size", 16},
                                        {"intra_bottleneck_size", 8},
                                        {"num_hidden_layers", 1},
                                        {"num_attention_heads", 2},
                                        {"intermediate_size", 12},
                                        {"max_position_embeddings", 32}}),
                          3);
  model.side_files = {{"vocab.txt", vocab_text()}};
  write_model(model, folder / "teacher");
  model = read_model(folder / "teacher");
  const std::string texts = write("texts.txt", "The trees.\nHousehold\n");
  const Model trimmed = trim(model, Json::object({{"texts", string_list({texts.c_str()})}}));
  EXPECT_EQ(trimmed.tensors.at("cls.predictions.dense.weight").shape, (Shape{10, 16}));
  const auto before = Tokenizer::load(folder / "teacher"), after = Tokenizer::load(folder / "trimmed");
  const auto logits = [](const Model& of, const Tokenizer& tokenizer) {
    RaggedBatch batch;
    batch.append(tokenizer.encode("the household trees.").ids);
    return Engine::build(of)
        ->new_session(std::make_shared<ThreadPool>(1))
        ->predict(batch, {.kind = OutputKind::kMaskedLogits});
  };
  const Prediction all = logits(model, *before), kept = logits(trimmed, *after);
  ASSERT_EQ(all.num_rows, kept.num_rows);
  for (int32_t id = 0; id < after->vocab_size(); ++id) {
    const auto old = static_cast<std::size_t>(before->find_token(after->token(id)));
    for (int64_t row = 0; row < all.num_rows; ++row)
      EXPECT_EQ(all.row(row)[old], kept.row(row)[static_cast<std::size_t>(id)]) << after->token(id);
  }
}

TEST_F(TrimVocabulary, RealTextsGiveTheSameBits) {
  const char* given = std::getenv("PENJING_DATA");
  const fs::path data = given != nullptr ? fs::path(given) : fs::path(PENJING_SOURCE_DIR) / "../shared/data";
  const fs::path vocabulary = data / "bert-uncased-tokenizer/vocab.txt",
                 corpus = data / "glue-stsb/sts-dev.csv";
  if (!fs::exists(vocabulary) || !fs::exists(corpus)) GTEST_SKIP() << "no " << vocabulary << " or " << corpus;
  std::vector<SideFile> files;
  for (const char* name : {"vocab.txt", "tokenizer.json", "tokenizer_config.json"}) {
    std::ifstream in(data / "bert-uncased-tokenizer" / name, std::ios::binary);
    files.push_back({name, std::string(std::istreambuf_iterator<char>(in), {})});
  }
  const std::vector<std::string> lines = read_text_lines(corpus);
  for (const bool untied : {false, true}) {
    fs::remove_all(folder / "teacher");
    Model model = make_model(30522, files, untied);
    if (untied) {  // and 8-bit tables
      write_model(apply_method("quantize", model).model, folder / "int8");
      model = read_model(folder / "int8");
    }
    const Model trimmed = trim(model, Json::object({{"texts", string_list({corpus.c_str()})}}));
    EXPECT_LT(trimmed.config.find("vocab_size")->as_int(""), 10000);
    const auto before = Tokenizer::load(model.folder), after = Tokenizer::load(trimmed.folder);
    RaggedBatch wide, narrow;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const Encoding a = before->encode(lines[i]), b = after->encode(lines[i]);
      ASSERT_EQ(a.ids.size(), b.ids.size()) << lines[i];
      ASSERT_EQ(a.offsets, b.offsets);
      for (std::size_t k = 0; k < a.ids.size(); ++k)
        ASSERT_EQ(before->token(a.ids[k]), after->token(b.ids[k]));
      if (i % 100 != 0) continue;
      wide.append(a.ids);
      narrow.append(b.ids);
    }
    const auto pool = std::make_shared<ThreadPool>(1);
    const auto one = Engine::build(model)->new_session(pool),
               other = Engine::build(trimmed)->new_session(pool);
    EXPECT_EQ(one->predict(wide, {}).values, other->predict(narrow, {}).values);
    const Prediction all = one->predict(wide, {.kind = OutputKind::kMaskedLogits}),
                     kept = other->predict(narrow, {.kind = OutputKind::kMaskedLogits});
    ASSERT_EQ(all.num_rows, kept.num_rows);
    for (int32_t id = 0; id < after->vocab_size(); ++id) {
      const auto old = static_cast<std::size_t>(before->find_token(after->token(id)));
      for (int64_t row = 0; row < all.num_rows; row += 7)
        ASSERT_EQ(all.row(row)[old], kept.row(row)[static_cast<std::size_t>(id)]) << after->token(id);
    }
  }
}

}  // namespace
}  // namespace penjing
