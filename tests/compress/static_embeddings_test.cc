// Against model2vec itself: tools/oracles/static_embeddings.py.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/thread_pool.h"
#include "io/model_folder.h"
#include "model/new_model.h"
#include "runtime/engine.h"
#include "tests/base/test_folder.h"
#include "tests/compress/tiny_model.h"
#include "text/tokenizer.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokens[] = {
    "[PAD]", "[unused0]", "[unused17]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat",
    "on",    "a",         "mat",        "dog",   "##gy",  ".",     "b",      "c",   "d",   "e",   "f"};
constexpr int64_t kWidth = 16;

class StaticEmbeddings : public ::testing::Test {
 protected:
  StaticEmbeddings() {
    Model model = new_bert({.layers = 2,
                            .hidden = kWidth,
                            .heads = 2,
                            .intermediate = 24,
                            .max_positions = 32,
                            .vocab_size = std::size(kTokens)},
                           5);
    Rng rng(3);
    model.tensors.set("embeddings.word_embeddings.weight",
                      random_tensor({std::size(kTokens), kWidth}, rng, 1.0f));
    std::string vocabulary;
    for (const char* token : kTokens) vocabulary += std::string(token) + "\n";
    model.side_files = {{"vocab.txt", vocabulary},
                        {"tokenizer_config.json", R"({"model_max_length": 32})"},
                        {"README.md", "a teacher\n"}};
    write_model(model, folder / "teacher");
    teacher = read_model(folder / "teacher");
  }

  static std::unique_ptr<Predictor> session(const Model& model, OutputKind kind) {
    return Engine::build(model, {{kind}})->new_session(std::make_shared<ThreadPool>(2));
  }
  Model make(const Json& given) const {
    const Method* method = find_method("static_embeddings");
    MethodContext context;
    context.threads = 2;
    context.new_predictor = session;
    MethodReport report;
    const Model made = method->apply(teacher, resolve_params(*method, given), context, report);
    fs::remove_all(folder / "static");
    write_model(made, folder / "static");
    return read_model(folder / "static");
  }
  // Rows of the table, by token.
  static std::vector<float> row_of(const Model& model, int64_t id) {
    const Tensor& table = model.tensors.at("embeddings.weight");
    std::vector<float> row(static_cast<std::size_t>(table.shape[1]));
    read_floats(table, id * table.shape[1], row, "embeddings");
    return row;
  }
  static std::vector<float> embed(const Model& model, const std::string& text, bool special) {
    EncodeOptions how;
    how.add_special_tokens = special;
    RaggedBatch batch;
    batch.append(Tokenizer::load(model.folder)->encode(text, how).ids);
    return session(model, OutputKind::kEmbedding)->predict(batch, {.kind = OutputKind::kEmbedding}).values;
  }
  TestFolder folder{"static_embeddings"};
  Model teacher;
};

Json plain() {
  return Json::object({{"dimensions", 0}, {"sif", 0.0}});
}

TEST_F(StaticEmbeddings, ARowIsWhatTheTeacherSaysOfThePiece) {
  const Model model = make(plain());
  EXPECT_EQ(model.description.embedding.vocab_size, static_cast<int64_t>(std::size(kTokens)) - 2);
  const auto before = Tokenizer::load(teacher.folder), after = Tokenizer::load(model.folder);
  for (const char* token : {"[unused0]", "[unused17]"}) EXPECT_EQ(after->find_token(token), -1);
  const auto hidden = session(teacher, OutputKind::kHidden);
  for (const char* token : {"the", "##s", "doggy", ".", "f"}) {
    if (after->find_token(token) < 0) continue;
    RaggedBatch batch;
    batch.append(std::vector<int32_t>{before->find_token("[CLS]"), before->find_token(token),
                                      before->find_token("[SEP]")});
    const Prediction rows = hidden->predict(batch, {});
    const std::vector<float> row = row_of(model, after->find_token(token));
    for (std::size_t k = 0; k < kWidth; ++k)
      EXPECT_NEAR(row[k], (double{rows.row(0)[k]} + double{rows.row(1)[k]} + double{rows.row(2)[k]}) / 3,
                  1e-6);
  }
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})
    EXPECT_EQ(row_of(model, after->find_token(token)), std::vector<float>(kWidth, 0)) << token;
}

TEST_F(StaticEmbeddings, ATextIsTheMeanOfItsPiecesOfLengthOne) {
  const Model model = make(Json::object({{"dimensions", 8}}));
  EXPECT_EQ(model.description.hidden_size, 8);
  const auto tokenizer = Tokenizer::load(model.folder);
  std::vector<double> sum(8, 0);
  for (const char* token : {"the", "dog", "##gy", "sat"}) {
    const std::vector<float> row = row_of(model, tokenizer->find_token(token));
    for (std::size_t k = 0; k < 8; ++k) sum[k] += double{row[k]};
  }
  double length = 0;
  for (const double x : sum) length += x * x;
  for (const bool special : {true, false}) {
    // An unknown word and the template's tokens say nothing.
    for (const char* text : {"The doggy sat", "the doggy zzz sat"}) {
      const std::vector<float> got = embed(model, text, special);
      ASSERT_EQ(got.size(), 8u);
      for (std::size_t k = 0; k < 8; ++k) EXPECT_NEAR(got[k], sum[k] / std::sqrt(length), 1e-6) << text;
    }
  }
  for (const char* text : {"", "zzz"}) EXPECT_EQ(embed(model, text, true), std::vector<float>(8, 0)) << text;
}

// Means are taken without a vector a token, unless somebody looks at those: the same bits, for tables of 16
// bits too, with prompts that the pooling leaves out.
TEST_F(StaticEmbeddings, TheShortWayHasTheBitsOfTheLongOne) {
  struct Watcher : Tap {
    int seen = 0;
    bool wants(std::string_view) override { return true; }
    void on(std::string_view, int, const float*, int64_t, int64_t) override { ++seen; }
  };
  for (const char* precision : {"fp32", "fp16"}) {
    for (const int64_t dimensions : {0, 7, 16}) {
      Model model = make(Json::object({{"dimensions", dimensions}, {"precision", precision}}));
      model.sentence.modules[0].pooling.include_prompt = false;
      Rng rng(4);
      RaggedBatch batch;
      std::vector<int64_t> prompts;
      for (int i = 0; i < 150; ++i) {
        std::vector<int32_t> ids(1 + rng.below(40));
        for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(std::size(kTokens) - 2));
        batch.append(ids);
        prompts.push_back(static_cast<int64_t>(rng.below(ids.size() + 1)));
      }
      Watcher watcher;
      Request request{.kind = OutputKind::kEmbedding, .prompt_lengths = prompts};
      const auto predictor = session(model, OutputKind::kEmbedding);
      const Prediction fast = predictor->predict(batch, request);
      request.tap = &watcher;
      EXPECT_EQ(fast.values, predictor->predict(batch, request).values) << precision << " " << dimensions;
      EXPECT_GT(watcher.seen, 0);
    }
  }
}

// PCA in the whole width turns and moves the rows: differences keep their lengths, columns are uncorrelated
// and ever less spread; fewer dimensions are the first of them.
TEST_F(StaticEmbeddings, PrincipalComponents) {
  const Model raw = make(plain());
  const auto size = raw.description.embedding.vocab_size;
  std::vector<std::vector<float>> a, b, c;
  for (int64_t i = 0; i < size; ++i) a.push_back(row_of(raw, i));
  const Model turned = make(Json::object({{"dimensions", kWidth}, {"sif", 0.0}}));
  for (int64_t i = 0; i < size; ++i) b.push_back(row_of(turned, i));
  const Model narrow = make(Json::object({{"dimensions", 5}, {"sif", 0.0}}));
  for (int64_t i = 0; i < size; ++i) c.push_back(row_of(narrow, i));
  // The five special tokens, whose rows are zero in the files, come first.
  for (std::size_t i = 5; i < a.size(); ++i) {
    for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(c[i][k], b[i][k], 1e-5);
    double before = 0, after = 0;
    for (std::size_t k = 0; k < kWidth; ++k) {
      before += std::pow(double{a[i][k]} - double{a[5][k]}, 2);
      after += std::pow(double{b[i][k]} - double{b[5][k]}, 2);
    }
    EXPECT_NEAR(before, after, 1e-5);
  }
  const auto spread = [&](std::size_t k) {
    double sum = 0;
    for (std::size_t i = 5; i < b.size(); ++i) sum += double{b[i][k]} * double{b[i][k]};
    return sum;
  };
  EXPECT_GT(spread(0), spread(kWidth / 2));
  EXPECT_GT(spread(kWidth / 2), spread(kWidth - 1));
}

// w_i = a / (a + p_i) with p_i of rank i + 2 among all.
TEST_F(StaticEmbeddings, WeightsOfZipfsLaw) {
  const Model raw = make(plain());
  const Model weighted = make(Json::object({{"dimensions", 0}, {"sif", 0.01}}));
  const int64_t size = raw.description.embedding.vocab_size;
  double all = 0;
  for (int64_t i = 2; i < size + 2; ++i) all += 1.0 / static_cast<double>(i);
  for (int64_t i = 5; i < size; ++i) {
    const double weight = 0.01 / (0.01 + 1.0 / static_cast<double>(i + 2) / all);
    const std::vector<float> a = row_of(raw, i), b = row_of(weighted, i);
    for (std::size_t k = 0; k < kWidth; ++k) EXPECT_NEAR(b[k], a[k] * weight, 1e-6);
  }
}

TEST_F(StaticEmbeddings, FilesThatOthersRead) {
  const Model model = make(Json::object({{"dimensions", 8}, {"precision", "fp16"}}));
  EXPECT_EQ(model.tensors.at("embeddings.weight").type, DType::kF16);
  EXPECT_EQ(model.config.find("hidden_dim")->as_int(""), 8);
  EXPECT_EQ(model.config.find("embedding_dtype")->as_string(""), "float16");
  EXPECT_FALSE(fs::exists(folder / "static/vocab.txt"));
  EXPECT_TRUE(fs::exists(folder / "static/README.md"));
  std::ifstream file(folder / "static/tokenizer.json");
  const Json root = Json::parse(std::string(std::istreambuf_iterator<char>(file), {}), "tokenizer.json");
  EXPECT_TRUE(root.find("truncation")->is_null());
  EXPECT_EQ(root.find("model")->find("vocab")->as_object("").size(), std::size(kTokens) - 2);
  EXPECT_EQ(root.find("model")->find("continuing_subword_prefix")->as_string(""), "##");
  EXPECT_EQ(model.sentence.modules.size(), 2u);
  // No limit of 32 tokens: the table has no positions.
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "cat ";
  EXPECT_EQ(embed(model, text, true).size(), 8u);
}

TEST_F(StaticEmbeddings, RefusesWhatItCannotMake) {
  const auto expect = [&](const Model& model, const Json& given, std::string_view text) {
    const Method* method = find_method("static_embeddings");
    const Error error = error_of([&] {
      MethodContext context;
      context.new_predictor = session;
      MethodReport report;
      (void)method->apply(model, resolve_params(*method, given), context, report);
    });
    EXPECT_TRUE(says(error, text)) << error.what();
  };
  expect(teacher, Json::object({{"dimensions", 17}}), "the teacher's width is 16");
  Model homeless = teacher;
  homeless.folder.clear();
  expect(homeless, plain(), "no folder");
  expect(teacher, Json::object({{"sif", 2.0}}), "sif");
}

}  // namespace
}  // namespace penjing
