// The BiLSTM student: sizes, what comes from the teacher, what is drawn. Its forward:
// tests/runtime/recurrent_test.cc.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

std::vector<float> floats(const Model& model, const std::string& name) {
  return read_floats(model.tensors.at(name), name);
}

TEST(BiLstmStudent, HasThePapersShapeAndTheTeachersClasses) {
  Model teacher = tiny_classifier();
  teacher.side_files = {{"vocab.txt", "a\n"}, {"modules.json", "[]"}, {"tokenizer_config.json", "{}"}};
  const Model student = apply_method("bilstm", teacher, Json::object({{"embedding", 6}})).model;
  const Description& d = student.description;
  const auto& recurrent = std::get<RecurrentSpec>(d.blocks.at(0).part);
  EXPECT_EQ(recurrent.size, 150);
  EXPECT_EQ(d.hidden_size, 300);
  EXPECT_EQ(d.embedding.width, 6);
  EXPECT_EQ(d.embedding.vocab_size, teacher.description.embedding.vocab_size);
  EXPECT_EQ(d.max_positions, teacher.description.max_positions);
  const HeadSpec* head = d.find_head(HeadKind::kSequenceClassifier);
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->dense.out, 200);
  EXPECT_EQ(head->projection.out, 3);
  EXPECT_EQ(student.side_files.size(), 2u);
  Model encoder = tiny_bert();
  complete_model(encoder);
  EXPECT_EQ(apply_method("bilstm", encoder, Json::object({{"embedding", 6}}))
                .model.description.find_head(HeadKind::kSequenceClassifier),
            nullptr);
}

// Differences of rows keep their inner products where all directions are kept, but for the one factor.
TEST(BiLstmStudent, EmbeddingsAreTheTeachersTurned) {
  const Model teacher = tiny_classifier();
  const auto width = teacher.description.embedding.width;
  const auto old_rows = floats(teacher, "embeddings.word_embeddings.weight");
  const Applied applied = apply_method("bilstm", teacher, Json::object({{"embedding", width}, {"units", 4}}));
  const auto rows = floats(applied.model, "embeddings.word_embeddings.weight");
  ASSERT_EQ(rows.size(), old_rows.size());
  double squares = 0;
  for (const float value : rows) squares += double{value} * value;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(rows.size())), 0.3, 1e-6);
  const auto product = [&](const std::vector<float>& table, int64_t a, int64_t b) {
    double sum = 0;
    for (int64_t k = 0; k < width; ++k)
      sum += double{table[a * width + k] - table[k]} * double{table[b * width + k] - table[k]};
    return sum;
  };
  const double factor = product(rows, 1, 1) / product(old_rows, 1, 1);
  for (const auto& [a, b] : {std::pair<int64_t, int64_t>{1, 2}, {2, 3}, {3, 3}, {1, 4}})
    EXPECT_NEAR(product(rows, a, b), factor * product(old_rows, a, b),
                1e-5 * factor * product(old_rows, 1, 1));
  EXPECT_NEAR(applied.report.details.find("variance")->as_double(""), 1, 1e-9);
  // Of fewer directions the ones of largest variance.
  const Applied two = apply_method("bilstm", teacher, Json::object({{"embedding", 2}, {"units", 4}}));
  const auto first = floats(two.model, "embeddings.word_embeddings.weight");
  const double scale = double{first[0]} / rows[0];
  for (int64_t i = 0; i < 5; ++i) EXPECT_NEAR(first[i * 2 + 1], scale * rows[i * width + 1], 1e-5);
  EXPECT_LT(two.report.details.find("variance")->as_double(""), 1);
}

TEST(BiLstmStudent, WeightsAreUniformAsPyTorchs) {
  const Json sizes = Json::object({{"units", 25}, {"embedding", 6}, {"siamese", true}});
  const Model student = apply_method("bilstm", tiny_classifier(), sizes).model;
  for (const auto& [name, bound] : {std::pair{"encoder.forward.input.weight", 0.2},
                                    {"encoder.backward.hidden.weight", 0.2},
                                    {"encoder.forward.input.bias", 0.2},
                                    {"dense.weight", std::sqrt(1.0 / 200)}}) {
    double largest = 0, squares = 0;
    const auto values = floats(student, name);
    for (const float value : values) {
      largest = std::max(largest, std::abs(double{value}));
      squares += double{value} * value;
    }
    EXPECT_LE(largest, bound) << name;
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(values.size())), bound / std::sqrt(3.0), 0.2 * bound)
        << name;
  }
  const Model again = apply_method("bilstm", tiny_classifier(), sizes).model;
  Json other = sizes;
  other.set("seed", 2);
  EXPECT_EQ(floats(again, "dense.weight"), floats(student, "dense.weight"));
  EXPECT_NE(floats(apply_method("bilstm", tiny_classifier(), other).model, "dense.weight"),
            floats(student, "dense.weight"));
  EXPECT_NE(floats(student, "encoder.forward.hidden.weight"),
            floats(student, "encoder.backward.hidden.weight"));
}

TEST(BiLstmStudent, AttendsWhereAskedAndQuantizesSo) {
  const Json params =
      Json::object({{"units", 4}, {"embedding", 6}, {"pooling", "attention"}, {"attention_units", 16}});
  const Model student = apply_method("bilstm", tiny_classifier(), params).model;
  const HeadSpec* head = student.description.find_head(HeadKind::kSequenceClassifier);
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->input, HeadInput::kAttended);
  double largest = 0;
  for (const float value : floats(student, "pooling.score.weight"))
    largest = std::max(largest, std::abs(double{value}));
  EXPECT_LE(largest, 0.25);
  EXPECT_GT(largest, 0.1);
  const Model small = apply_method("quantize", student).model;
  EXPECT_EQ(small.tensors.at("encoder.forward.input.weight").type, DType::kI8);
  EXPECT_EQ(floats(small, "pooling.attention.weight"), floats(student, "pooling.attention.weight"));
  EXPECT_EQ(small.description.find_head(HeadKind::kSequenceClassifier)->input, HeadInput::kAttended);
}

TEST(BiLstmStudent, RefusesMoreDirectionsThanThereAre) {
  EXPECT_TRUE(says(error_of([] { apply_method("bilstm", tiny_classifier()); }), "--embeddings random"));
  EXPECT_EQ(apply_method("bilstm", tiny_classifier(), Json::object({{"embeddings", "random"}}))
                .model.description.embedding.width,
            300);
}

}  // namespace
}  // namespace penjing
