// The methods on a MobileBERT: layers, heads and the inner features of each of its feed-forwards go away,
// another shape is built beside a teacher, and its products become integers.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compress/model_sizes.h"
#include "runtime/engine.h"
#include "tests/compress/tiny_model.h"
#include "tests/model/mobilebert_reference.h"

namespace penjing {
namespace {

Model completed(const std::string& shape, bool classifies = false) {
  Model model = testing::tiny_mobilebert(shape, classifies);
  complete_model(model);
  return model;
}

std::vector<float> hidden_of(const Model& model) {
  return Engine::build(model)
      ->new_session(std::make_shared<ThreadPool>(1))
      ->predict(testing::mobilebert_batch(), {.kind = OutputKind::kHidden})
      .values;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.type == b.type && a.shape == b.shape &&
         std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

TEST(MobileBertStudent, LayersAreTaken) {
  const Model teacher = completed("student");
  const Model student = apply_method("student", teacher, Json::object({{"from", "1"}})).model;
  EXPECT_EQ(student.description.num_layers, 1);
  EXPECT_TRUE(same_bytes(student.tensors.at("encoder.layer.0.ffn.1.output.dense.weight"),
                         teacher.tensors.at("encoder.layer.1.ffn.1.output.dense.weight")));
  EXPECT_FALSE(student.config.contains("compression_config"));
  EXPECT_EQ(student.config.find("num_attention_heads")->as_int(""), 2);
  EXPECT_EQ(hidden_of(student).size(), hidden_of(teacher).size());
}

// Each feed-forward of a layer loses what counts least in it, not in another.
TEST(MobileBertStudent, PartsThatSayNothingAreTheOnesThatGo) {
  Model teacher = completed("student");
  int64_t first = 2;  // another place in each
  for (const Block& block : teacher.description.blocks) {
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part);
    if (attention == nullptr && feed_forward == nullptr) continue;
    const LinearSpec& reader = attention != nullptr ? attention->output : feed_forward->down;
    const std::string name = reader.name + ".weight";
    std::vector<float> values = read_floats(teacher.tensors.at(name), name);
    const int64_t begin = attention != nullptr ? 6 : first, end = attention != nullptr ? 12 : first + 5;
    for (int64_t row = 0; row < reader.out; ++row) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<std::size_t>(row * reader.in + i)] = 0;
    }
    teacher.tensors.set(name, Tensor::from_floats({reader.out, reader.in}, values));
    if (feed_forward != nullptr) first = (first + 3) % 15;
  }
  const Model student =
      apply_method("student", teacher, Json::object({{"heads", "1"}, {"intermediate", "15"}})).model;
  EXPECT_EQ(hidden_of(student), hidden_of(teacher));  // the sums skip zeros alone
  const ModelSizes sizes = read_sizes(student);
  EXPECT_EQ(sizes.layers, (std::vector<LayerWidths>{{1, 15}, {1, 15}}));
  EXPECT_EQ(sizes.head_dim, 6);
  EXPECT_EQ(sizes.attention, 12);
  EXPECT_EQ(sizes.hidden, 28);
}

TEST(MobileBertStudent, TheWidthStays) {
  const Error error = error_of([] {
    (void)apply_method("student", completed("teacher"), Json::object({{"hidden", 16}, {"init", "random"}}));
  });
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported) << error.what();
}

Json bottlenecked() {
  return Json::object({{"num_hidden_layers", 3},
                       {"intra_bottleneck_size", 12},
                       {"intermediate_size", 20},
                       {"num_feedforward_networks", 2},
                       {"normalization_type", "no_norm"},
                       {"hidden_act", "relu"},
                       {"use_bottleneck_attention", false},
                       {"key_query_shared_bottleneck", true},
                       {"layer_norm_eps", Json()}});
}

// As MobileBERT is made beside its teacher: fresh layers between the teacher's embeddings and head.
TEST(MobileBertStudent, AnotherShapeBesideTheTeacher) {
  const Model teacher = completed("teacher");
  const Applied applied = apply_method("student", teacher, Json::object({{"config", bottlenecked()}}));
  const Model& student = applied.model;
  EXPECT_EQ(student.description.num_layers, 3);
  EXPECT_EQ(student.description.blocks[0].norm.kind, NormKind::kAffine);
  EXPECT_FALSE(student.config.contains("layer_norm_eps"));
  EXPECT_EQ(student.tensors.at("encoder.layer.2.bottleneck.attention.dense.weight").shape, (Shape{12, 28}));
  for (const char* name : {"embeddings.word_embeddings.weight", "embeddings.embedding_transformation.weight",
                           "embeddings.LayerNorm.bias", "cls.predictions.dense.weight",
                           "cls.predictions.bias", "cls.predictions.transform.dense.weight"}) {
    EXPECT_TRUE(same_bytes(student.tensors.at(name), teacher.tensors.at(name))) << name;
  }
  EXPECT_EQ(applied.report.details.find("shared_tensors")->as_int(""), 13);
  EXPECT_EQ(hidden_of(student).size(), hidden_of(teacher).size());
  const Json random = Json::object({{"config", bottlenecked()}, {"init", "random"}});
  const Model other = apply_method("student", teacher, random).model;
  EXPECT_FALSE(same_bytes(other.tensors.at("embeddings.word_embeddings.weight"),
                          teacher.tensors.at("embeddings.word_embeddings.weight")));
  // What no longer fits is fresh, and said to be.
  Json wider = bottlenecked();
  wider.set("embedding_size", 10);
  const Applied fresh = apply_method("student", teacher, Json::object({{"config", wider}}));
  EXPECT_EQ(fresh.model.tensors.at("embeddings.word_embeddings.weight").shape, (Shape{59, 10}));
  EXPECT_NE(fresh.report.notes.back().find("fresh are embeddings.word_embeddings.weight"), std::string::npos)
      << fresh.report.notes.back();
}

TEST(MobileBertStudent, AShapeIsSaidOnce) {
  const Model teacher = completed("teacher");
  const auto refusal = [&](const Json& given) {
    return std::string(error_of([&] { (void)apply_method("student", teacher, given); }).what());
  };
  EXPECT_NE(refusal(Json::object({{"config", bottlenecked()}, {"layers", 1}})).find("other sizes"),
            std::string::npos);
  EXPECT_NE(refusal(Json::object({{"config", 3}})).find("wanted an object"), std::string::npos);
  EXPECT_NE(refusal(Json::object({{"config", Json::object({{"normalization_type", "none"}})}}))
                .find("normalization_type"),
            std::string::npos);
}

TEST(MobileBertQuantize, IntegersSayNearlyTheSame) {
  for (const char* shape : testing::kMobileBertShapes) {
    const Model model = completed(shape);
    const Model integer = apply_method("quantize", model).model;
    EXPECT_EQ(integer.tensors.at("embeddings.embedding_transformation.weight").type, DType::kI8);
    EXPECT_EQ(integer.tensors.at("cls.predictions.dense.weight").type, DType::kF32);
    const std::vector<float> a = hidden_of(model), b = hidden_of(integer);
    double square = 0, product = 0, other = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      square += double{a[i]} * a[i];
      other += double{b[i]} * b[i];
      product += double{a[i]} * b[i];
    }
    EXPECT_GT(product / std::sqrt(square * other), 0.999) << shape;
    EXPECT_NE(a, b);
  }
}

}  // namespace
}  // namespace penjing
