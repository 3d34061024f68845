// The factorised embedding against its definition: its output computed by the runtime, the error it reports,
// what becomes of heads, names and config.
#include "compress/factorized_embedding.h"

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "runtime/engine.h"
#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

constexpr int64_t kHidden = 12, kWords = 80, kPositions = 9;

// A BERT without layers: its hidden states are the embedding's output.
Model embedding_alone() {
  Model model;
  model.config = Json::object({{"architectures", Json(Json::Array{Json("BertModel")})},
                               {"model_type", "bert"},
                               {"hidden_size", kHidden},
                               {"num_hidden_layers", 0},
                               {"num_attention_heads", 3},
                               {"intermediate_size", 8},
                               {"vocab_size", kWords},
                               {"max_position_embeddings", kPositions}});
  Rng rng(3);
  model.tensors.set("embeddings.word_embeddings.weight", random_tensor({kWords, kHidden}, rng, 0.5f));
  model.tensors.set("embeddings.position_embeddings.weight", random_tensor({kPositions, kHidden}, rng, 0.1f));
  model.tensors.set("embeddings.token_type_embeddings.weight", random_tensor({2, kHidden}, rng, 0.1f));
  std::vector<float> gain(kHidden, 1);
  for (float& g : gain) g += 0.2f * rng.normal();
  model.tensors.set("embeddings.LayerNorm.weight", Tensor::from_floats({kHidden}, gain));
  model.tensors.set("embeddings.LayerNorm.bias", random_tensor({kHidden}, rng));
  complete_model(model);
  return model;
}

// Every word at the position where it is fitted, the last of its sequence.
std::vector<float> outputs(const Model& model) {
  const auto session = Engine::build(model)->new_session(std::make_shared<ThreadPool>(1));
  std::vector<float> out;
  for (int32_t word = 0; word < kWords; ++word) {
    RaggedBatch batch;
    std::vector<int32_t> ids(static_cast<std::size_t>(1 + word % (kPositions - 1)), 0);
    ids.push_back(word);
    batch.append(ids);
    const Prediction hidden = session->predict(batch, {.kind = OutputKind::kHidden});
    const auto row = hidden.row(hidden.num_rows - 1);
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

TEST(FactorizedEmbedding, ItsOutputIsAsNearAsItSays) {
  const Model bert = embedding_alone();
  const std::vector<float> wanted = outputs(bert);
  ThreadPool pool(2);
  double before = 1;
  for (const int64_t width : {2, 6, 11}) {
    const FactorizedEmbedding narrow = factorize_embedding(bert, width, pool);
    const std::vector<float> got = outputs(narrow.model);
    double difference = 0, whole = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      difference += (double{got[i]} - wanted[i]) * (double{got[i]} - wanted[i]);
      whole += double{wanted[i]} * wanted[i];
    }
    EXPECT_NEAR(narrow.error, difference / whole, 1e-5) << width;
    EXPECT_LT(narrow.error, before);
    EXPECT_GT(narrow.energy, 0);
    before = narrow.error;
  }
  EXPECT_LT(before, 0.1);  // one direction of twelve is lost, and one that the norm takes
}

TEST(FactorizedEmbedding, TheSameOnAnyNumberOfThreads) {
  const Model bert = embedding_alone();
  ThreadPool one(1), three(3);
  const Model a = factorize_embedding(bert, 5, one).model, b = factorize_embedding(bert, 5, three).model;
  for (const auto& [name, tensor] : a.tensors)
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, b.tensors.at(name).bytes)) << name;
}

TEST(FactorizedEmbedding, AStudentOfItIsAnElectra) {
  Model teacher = tiny_classifier();
  const auto [student, report] = apply_method("student", teacher, Json::object({{"embedding_width", 4}}));
  EXPECT_EQ(student.description.family, "electra");
  EXPECT_EQ(student.config.find("embedding_size")->as_int(""), 4);
  EXPECT_EQ(student.tensors.at("embeddings.word_embeddings.weight").shape[1], 4);
  const HeadSpec* head = student.description.find_head(HeadKind::kSequenceClassifier);
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->projection.out, 3);
  EXPECT_TRUE(std::ranges::equal(student.tensors.at("classifier.dense.weight").bytes,
                                 teacher.tensors.at("pooler.dense.weight").bytes));
  EXPECT_EQ(student.tensors.find("pooler.dense.weight"), nullptr);
  EXPECT_EQ(StoredNames(student)("embeddings_project.weight"), "electra.embeddings_project.weight");
  EXPECT_FALSE(report.notes.empty());
  const auto error = error_of([&] {
    apply_method("student", teacher, Json::object({{"embedding_width", 8}}));
  });
  EXPECT_TRUE(says(error, "wanted 1 to 7")) << error.what();
  const auto again = error_of([&] {
    apply_method("student", student, Json::object({{"embedding_width", 2}}));
  });
  EXPECT_TRUE(says(again, "BERT")) << again.what();
}

}  // namespace
}  // namespace penjing
