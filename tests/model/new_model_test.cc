#include "model/new_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "base/error.h"
#include "model/cost.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

// Parameters of BERT with pooler and masked-LM head, term by term: word, position and type tables and their
// norm; a layer's four square layers, two norms and feed-forward; pooler; head's dense layer, norm and bias.
int64_t closed_form(int64_t layers, int64_t h, int64_t vocab = 30522) {
  const int64_t embedding = (vocab + 512 + 2) * h + 2 * h;
  const int64_t layer = 4 * (h * h + h) + 2 * 2 * h + (h * 4 * h + 4 * h) + (4 * h * h + h);
  return embedding + layers * layer + (h * h + h) + (h * h + h + 2 * h + vocab);
}

int64_t stored(const Model& model) {
  int64_t sum = 0;
  for (const TensorMap::Entry& entry : model.tensors) sum += entry.tensor.size();
  return sum;
}

TEST(NewModel, SizesOfWellReadStudents) {
  // Turc et al. 2019, figure 1 and table 1 of google-research/bert's README: millions of parameters.
  const std::map<std::string, double> published = {
      {"tiny", 4.4}, {"mini", 11.3}, {"small", 29.1}, {"medium", 41.7}, {"base", 110.1}};
  ASSERT_EQ(named_sizes().size(), 24u);
  std::size_t named = 0;
  for (const NamedSize& size : named_sizes()) {
    const int64_t count = closed_form(size.sizes.layers, size.sizes.hidden);
    // The description's own count, without drawing 110 million numbers; it has no pooler yet.
    const Description d = describe(bert_config(size.sizes), {});
    int64_t described = size.sizes.hidden * size.sizes.hidden + size.sizes.hidden;
    for (const PartCost& part : measure_cost(d, 128)) described += part.parameters;
    EXPECT_EQ(described, count) << size.name;
    for (const Block& block : d.blocks) {
      const auto* attention = std::get_if<AttentionSpec>(&block.part);
      EXPECT_TRUE(attention == nullptr || attention->head_dim == 64);
    }
    if (size.nickname.empty()) continue;
    ++named;
    EXPECT_NEAR(static_cast<double>(count) / 1e6, published.at(std::string(size.nickname)), 0.05)
        << size.name;
    EXPECT_EQ(find_size(size.nickname).layers, find_size(size.name).layers);
    EXPECT_EQ(find_size(size.nickname).hidden, find_size(size.name).hidden);
  }
  EXPECT_EQ(named, published.size());
  EXPECT_EQ(stored(new_bert(find_size("tiny"), 1)), closed_form(2, 128));
  EXPECT_THROW(find_size("huge"), Error);
}

TEST(NewModel, WeightsAreDrawnAsBerts) {
  const Model model = new_bert(find_size("tiny"), 1);
  check_model(model, true);
  const std::vector<float> words =
      read_floats(model.tensors.at("embeddings.word_embeddings.weight"), "words");
  double sum = 0, squares = 0, largest = 0, beyond_one = 0;
  for (const float w : words) {
    sum += w;
    squares += double{w} * w;
    largest = std::max(largest, std::abs(double{w}));
    beyond_one += std::abs(w) > 0.02 ? 1 : 0;
  }
  const auto n = static_cast<double>(words.size());
  // A normal distribution cut off at two deviations: deviation 0.8796 of the parent's; 0.2847 lie beyond one.
  EXPECT_NEAR(sum / n, 0, 4 * 0.0176 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.02 * 0.87963, 2e-5);
  EXPECT_NEAR(beyond_one / n, 0.28470, 0.001);
  EXPECT_LE(largest, 0.04);
  EXPECT_GT(largest, 0.0399);
  for (const float b : read_floats(model.tensors.at("encoder.layer.1.output.dense.bias"), "bias"))
    EXPECT_EQ(b, 0);
  for (const float w : read_floats(model.tensors.at("embeddings.LayerNorm.weight"), "norm")) EXPECT_EQ(w, 1);
  for (const float b : read_floats(model.tensors.at("cls.predictions.bias"), "bias")) EXPECT_EQ(b, 0);
}

TEST(NewModel, ATensorDependsOnSeedAndNameAlone) {
  BertSizes sizes;
  sizes.layers = 1;
  sizes.hidden = 64;
  sizes.vocab_size = 100;
  BertSizes deeper = sizes;
  deeper.layers = 2;
  const auto value = [](const Model& model, const char* name) {
    return read_floats(model.tensors.at(name), name);
  };
  const Model a = new_bert(sizes, 1), b = new_bert(deeper, 1), c = new_bert(sizes, 2);
  const char* query = "encoder.layer.0.attention.self.query.weight";
  EXPECT_EQ(value(a, query), value(b, query));
  EXPECT_NE(value(a, query), value(c, query));
  EXPECT_NE(value(a, query), value(a, "encoder.layer.0.attention.self.key.weight"));
}

TEST(NewModel, RefusesSizesThatAreNone) {
  const auto refuses = [](auto change) {
    BertSizes sizes;
    change(sizes);
    EXPECT_THROW(bert_config(sizes), Error);
  };
  refuses([](BertSizes& s) { s.layers = 0; });
  refuses([](BertSizes& s) { s.hidden = -1; });
  refuses([](BertSizes& s) { s.heads = 7; });
  refuses([](BertSizes& s) { s.vocab_size = 0; });
  refuses([](BertSizes& s) { s.intermediate = int64_t{1} << 40; });
}

TEST(NewModel, GivesTheMaskedLmHeadWhereThereIsNone) {
  Model model = tiny_bert();
  model.config.set("architectures", Json(Json::Array{Json("BertForSequenceClassification")}));
  Rng rng(1);
  model.tensors.set("pooler.dense.weight", random_tensor({8, 8}, rng));
  model.tensors.set("pooler.dense.bias", random_tensor({8}, rng));
  model.tensors.set("classifier.weight", random_tensor({3, 8}, rng));
  model.tensors.set("classifier.bias", random_tensor({3}, rng));
  complete_model(model);
  give_masked_lm_head(model, 1);
  const HeadSpec* head = model.description.find_head(HeadKind::kMaskedLm);
  ASSERT_NE(head, nullptr);
  EXPECT_TRUE(head->tied_to_word_embeddings);
  EXPECT_EQ(model.description.find_head(HeadKind::kSequenceClassifier), nullptr);
  EXPECT_EQ(model.tensors.find("classifier.weight"), nullptr);
  EXPECT_NE(model.tensors.find("pooler.dense.weight"), nullptr);
  EXPECT_EQ(model.tensors.at("cls.predictions.bias").shape, (Shape{16}));
  EXPECT_EQ(model.config.find("architectures")->dump(), "[\"BertForMaskedLM\"]");
  check_model(model, true);

  // One that is there is kept; a copy of the word embeddings becomes the embeddings themselves.
  const Tensor kept = random_tensor({8, 8}, rng);
  model.tensors.set("cls.predictions.transform.dense.weight", kept);
  model.tensors.set("cls.predictions.decoder.weight", model.tensors.at("embeddings.word_embeddings.weight"));
  model.tensors.set("cls.seq_relationship.weight", random_tensor({2, 8}, rng));
  model.description = describe(model.config, model.tensors);
  give_masked_lm_head(model, 2);
  EXPECT_EQ(model.tensors.find("cls.predictions.decoder.weight"), nullptr);
  EXPECT_EQ(model.tensors.find("cls.seq_relationship.weight"), nullptr);
  EXPECT_EQ(std::memcmp(model.tensors.at("cls.predictions.transform.dense.weight").bytes.data(),
                        kept.bytes.data(), kept.bytes.size()),
            0);
  // An untied projection of its own stays.
  model.tensors.set("cls.predictions.decoder.weight", random_tensor({16, 8}, rng));
  model.description = describe(model.config, model.tensors);
  give_masked_lm_head(model, 3);
  EXPECT_NE(model.tensors.find("cls.predictions.decoder.weight"), nullptr);
}

}  // namespace
}  // namespace penjing
