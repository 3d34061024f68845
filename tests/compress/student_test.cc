#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "base/thread_pool.h"
#include "compress/model_sizes.h"
#include "io/sentence_modules.h"
#include "runtime/engine.h"
#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

constexpr int64_t kHidden = 16, kHeadDim = 4, kHeads = 4, kInner = 20, kWords = 16, kPositions = 10;

// A BERT or DistilBERT of `layers` layers with a head: "ForSequenceClassification", "ForTokenClassification",
// "ForMaskedLM", "ForQuestionAnswering", or "" for none.
Model tiny_teacher(const std::string& family, const std::string& head, int layers = 4, uint64_t seed = 5) {
  const bool bert = family == "bert";
  Model model;
  Json classes = Json::array();
  if (!head.empty()) classes.push_back((bert ? "Bert" : "DistilBert") + head);
  model.config = Json::object({{"architectures", classes},
                               {"model_type", family},
                               {bert ? "hidden_size" : "dim", kHidden},
                               {bert ? "num_hidden_layers" : "n_layers", layers},
                               {bert ? "num_attention_heads" : "n_heads", kHeads},
                               {bert ? "intermediate_size" : "hidden_dim", kInner},
                               {"vocab_size", kWords},
                               {"max_position_embeddings", kPositions},
                               {"num_labels", 3}});
  Rng rng(seed);
  const auto table = [&](const std::string& name, int64_t rows) {
    model.tensors.set(name + ".weight", random_tensor({rows, kHidden}, rng, 0.5f));
  };
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    model.tensors.set(name + ".weight", random_tensor({out, in}, rng, 0.3f));
    model.tensors.set(name + ".bias", random_tensor({out}, rng));
  };
  const auto norm = [&](const std::string& name) {
    std::vector<float> gains;
    for (int64_t i = 0; i < kHidden; ++i) gains.push_back(1 + 0.2f * rng.normal());
    model.tensors.set(name + ".weight", Tensor::from_floats({kHidden}, gains));
    model.tensors.set(name + ".bias", random_tensor({kHidden}, rng));
  };
  table("embeddings.word_embeddings", kWords);
  table("embeddings.position_embeddings", kPositions);
  if (bert) table("embeddings.token_type_embeddings", 2);
  norm("embeddings.LayerNorm");
  for (int layer = 0; layer < layers; ++layer) {
    const std::string base = (bert ? "encoder.layer." : "transformer.layer.") + std::to_string(layer) + ".";
    for (const char* part : {"query", "key", "value"})
      linear(base + (bert ? std::string("attention.self.") + part
                          : std::string("attention.") + part[0] + "_lin"),
             kHidden, kHidden);
    linear(base + (bert ? "attention.output.dense" : "attention.out_lin"), kHidden, kHidden);
    norm(base + (bert ? "attention.output.LayerNorm" : "sa_layer_norm"));
    linear(base + (bert ? "intermediate.dense" : "ffn.lin1"), kHidden, kInner);
    linear(base + (bert ? "output.dense" : "ffn.lin2"), kInner, kHidden);
    norm(base + (bert ? "output.LayerNorm" : "output_layer_norm"));
  }
  if (head == "ForSequenceClassification") linear(bert ? "pooler.dense" : "pre_classifier", kHidden, kHidden);
  if (head == "ForSequenceClassification" || head == "ForTokenClassification")
    linear("classifier", kHidden, 3);
  if (head == "ForQuestionAnswering") linear("qa_outputs", kHidden, 2);
  if (head == "ForMaskedLM") {
    linear(bert ? "cls.predictions.transform.dense" : "vocab_transform", kHidden, kHidden);
    norm(bert ? "cls.predictions.transform.LayerNorm" : "vocab_layer_norm");
    model.tensors.set(bert ? "cls.predictions.bias" : "vocab_projector.bias", random_tensor({kWords}, rng));
  }
  complete_model(model);
  return model;
}

RaggedBatch some_batch(uint64_t seed = 3) {
  Rng rng(seed);
  RaggedBatch batch;
  for (int64_t i = 0; i < 12; ++i) {
    std::vector<int32_t> ids(2 + rng.below(kPositions - 2));
    for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(kWords));
    batch.append(ids, {});
  }
  return batch;
}

Prediction predict(const Model& model, OutputKind kind = OutputKind::kHidden, Tap* tap = nullptr) {
  return Engine::build(model)
      ->new_session(std::make_shared<ThreadPool>(1))
      ->predict(some_batch(), {.kind = kind, .tap = tap});
}

// As the command line does, with texts.
Applied carve(const Model& model, const Json& given) {
  const Method* method = find_method("student");
  MethodContext context;
  context.threads = 2;
  context.run_calibration = [](const Model& subject, Tap& tap, std::size_t) {
    (void)predict(subject, OutputKind::kHidden, &tap);
  };
  Applied applied;
  applied.model = method->apply(model, resolve_params(*method, given), context, applied.report);
  return applied;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.type == b.type && a.shape == b.shape &&
         std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

void expect_close(const std::vector<float>& a, const std::vector<float>& b, float bound) {
  ASSERT_EQ(a.size(), b.size());
  float worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
  EXPECT_LE(worst, bound);
}

std::string notes_of(const Applied& applied) {
  std::string text;
  for (const std::string& note : applied.report.notes) text += note + "\n";
  return text;
}

class StudentOf : public ::testing::TestWithParam<std::string> {
 protected:
  // The layers' prefix and the keys of config.json.
  std::string prefix() const { return GetParam() == "bert" ? "encoder.layer." : "transformer.layer."; }
  std::string key(const char* bert, const char* distilbert) const {
    return GetParam() == "bert" ? bert : distilbert;
  }
};
INSTANTIATE_TEST_SUITE_P(Families, StudentOf, ::testing::Values("bert", "distilbert"));

TEST_P(StudentOf, AllOfTheTeacherIsTheTeacher) {
  for (const char* head : {"", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM"}) {
    const Model teacher = tiny_teacher(GetParam(), head);
    for (const Json& given : {Json::object(), Json::object({{"layers", 4},
                                                            {"heads", "4"},
                                                            {"intermediate", "20"},
                                                            {"hidden", kHidden},
                                                            {"importance", "activation"}})}) {
      const Model student = carve(teacher, given).model;
      EXPECT_EQ(student.config.dump(), teacher.config.dump());
      ASSERT_EQ(student.tensors.size(), teacher.tensors.size());
      auto other = student.tensors.begin();
      for (const auto& [name, tensor] : teacher.tensors) {
        EXPECT_EQ(other->name, name);
        EXPECT_TRUE(same_bytes(tensor, other->tensor)) << name;
        ++other;
      }
    }
  }
}

TEST_P(StudentOf, LayersKeepTheTeachersBytes) {
  const Model teacher = tiny_teacher(GetParam(), "ForSequenceClassification", 12);
  const Applied applied = carve(teacher, Json::object({{"layers", 6}}));
  const Model& student = applied.model;
  const std::vector<int> from = {0, 2, 4, 7, 9, 11};
  EXPECT_EQ(student.description.num_layers, 6);
  EXPECT_EQ(student.config.find(key("num_hidden_layers", "n_layers"))->as_int(""), 6);
  EXPECT_FALSE(student.config.contains("compression_config"));
  std::size_t inside = 0;
  for (const auto& [name, tensor] : student.tensors) {
    std::string source = name;
    if (name.starts_with(prefix())) {
      const auto layer = static_cast<std::size_t>(name[prefix().size()] - '0');
      source = prefix() + std::to_string(from.at(layer)) + name.substr(prefix().size() + 1);
      ++inside;
    }
    EXPECT_TRUE(same_bytes(tensor, teacher.tensors.at(source))) << name;
    EXPECT_EQ(tensor.bytes.data(), teacher.tensors.at(source).bytes.data()) << name;  // not even copied
  }
  EXPECT_EQ(inside, 6u * 16u);
  EXPECT_NE(notes_of(applied).find("    3          7  all 4"), std::string::npos) << notes_of(applied);
  EXPECT_EQ(predict(student, OutputKind::kClassLogits).dim, 3);
}

// Makes heads 1 and 2 of layer 1 and the inner features 3 ... 9 of every layer say nothing.
Model with_idle_parts(Model model) {
  for (const Block& block : model.description.blocks) {
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention != nullptr && block.layer != 1) continue;
    const LinearSpec& reader =
        attention != nullptr ? attention->output : std::get<FeedForwardSpec>(block.part).down;
    const std::string name = reader.name + ".weight";
    std::vector<float> values = read_floats(model.tensors.at(name), name);
    const int64_t begin = attention != nullptr ? kHeadDim : 3, end = attention != nullptr ? 3 * kHeadDim : 10;
    for (int64_t row = 0; row < reader.out; ++row) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<std::size_t>(row * reader.in + i)] = 0;
    }
    model.tensors.set(name, Tensor::from_floats({reader.out, reader.in}, values));
  }
  return model;
}

TEST_P(StudentOf, PartsThatSayNothingAreTheOnesThatGo) {
  const Model teacher = with_idle_parts(tiny_teacher(GetParam(), ""));
  for (const char* importance : {"magnitude", "activation"}) {
    const Applied applied = carve(
        teacher, Json::object({{"heads", "4,2,4,4"}, {"intermediate", "13"}, {"importance", importance}}));
    const Json& layer = applied.report.details.find("layers")->as_array("")[1];
    EXPECT_EQ(layer.find("heads")->dump(), "[0,3]");
    // The sums skip zeros alone: the same bits.
    EXPECT_EQ(predict(applied.model).values, predict(teacher).values) << importance;
    EXPECT_NE(notes_of(applied).find("only Penjing"), std::string::npos);
    EXPECT_EQ(applied.model.description.blocks[2].name, teacher.description.blocks[2].name);
    EXPECT_EQ(std::get<AttentionSpec>(applied.model.description.blocks[2].part).num_heads, 2);
  }
}

TEST_P(StudentOf, OneInnerSizeForAllIsSaidInTheFamilysOwnWords) {
  const Applied applied = carve(tiny_teacher(GetParam(), ""),
                                Json::object({{"layers", 2}, {"from", "last"}, {"intermediate", "7"}}));
  EXPECT_EQ(applied.model.config.find(key("intermediate_size", "hidden_dim"))->as_int(""), 7);
  EXPECT_FALSE(applied.model.config.contains("compression_config"));
  EXPECT_EQ(notes_of(applied).find("only Penjing"), std::string::npos);
  const Model wide = tiny_teacher(GetParam(), "");
  for (const auto& [name, tensor] : applied.model.tensors) {
    if (tensor.shape == Shape{7}) {
      // Each kept bias is one of the teacher's layer 2 or 3.
      const std::string source =
          prefix() + (name[prefix().size()] == '0' ? "2" : "3") + name.substr(prefix().size() + 1);
      const std::vector<float> all = read_floats(wide.tensors.at(source), source);
      for (const float value : read_floats(tensor, name))
        EXPECT_EQ(std::count(all.begin(), all.end(), value), 1);
    }
  }
}

// Activation looks at the inputs: a head of large weights whose value is always zero goes.
TEST_P(StudentOf, ActivationSeesWhatTextsDo) {
  Model teacher = tiny_teacher(GetParam(), "");
  const auto& attention = std::get<AttentionSpec>(teacher.description.blocks[0].part);
  const std::string value = attention.value.name, output = attention.output.name + ".weight";
  std::vector<float> rows = read_floats(teacher.tensors.at(value + ".weight"), value);
  std::vector<float> bias = read_floats(teacher.tensors.at(value + ".bias"), value);
  std::vector<float> columns = read_floats(teacher.tensors.at(output), output);
  for (int64_t i = 0; i < kHidden; ++i) {
    for (int64_t j = 0; j < kHeadDim; ++j) {
      rows[static_cast<std::size_t>(j * kHidden + i)] = 0;
      columns[static_cast<std::size_t>(i * kHidden + j)] *= 1000;
    }
  }
  for (std::size_t j = 0; j < kHeadDim; ++j) bias[j] = 1e-6f;  // magnitude sees 1e-3 a weight of it
  teacher.tensors.set(value + ".weight", Tensor::from_floats({kHidden, kHidden}, rows));
  teacher.tensors.set(value + ".bias", Tensor::from_floats({kHidden}, bias));
  teacher.tensors.set(output, Tensor::from_floats({kHidden, kHidden}, columns));
  const Applied applied = carve(teacher, Json::object({{"heads", "3"}, {"importance", "activation"}}));
  EXPECT_EQ(applied.report.details.find("layers")->as_array("")[0].find("heads")->dump(), "[1,2,3]");
}

// Rows of a matrix [rows, kHidden] within the span of `basis` [dim, kHidden], orthonormal.
std::vector<float> within(const std::vector<float>& values, const std::vector<std::vector<double>>& basis) {
  std::vector<float> result(values.size(), 0);
  for (std::size_t row = 0; row < values.size() / kHidden; ++row) {
    std::vector<double> sum(kHidden, 0);
    for (const auto& direction : basis) {
      double product = 0;
      for (std::size_t i = 0; i < kHidden; ++i) product += direction[i] * double{values[row * kHidden + i]};
      for (std::size_t i = 0; i < kHidden; ++i) sum[i] += product * direction[i];
    }
    for (std::size_t i = 0; i < kHidden; ++i) result[row * kHidden + i] = static_cast<float>(sum[i]);
  }
  return result;
}

// (1, ..., 1) / 4 and `dim` - 1 cosines across it (DCT-II), orthonormal.
std::vector<std::vector<double>> cosine_basis(std::size_t dim) {
  std::vector<std::vector<double>> basis(dim, std::vector<double>(kHidden));
  for (std::size_t k = 0; k < dim; ++k) {
    for (std::size_t i = 0; i < kHidden; ++i)
      basis[k][i] =
          k == 0 ? 0.25
                 : std::sqrt(2.0 / kHidden) * std::cos(std::numbers::pi * (static_cast<double>(i) + 0.5) *
                                                       static_cast<double>(3 * k % 16) / kHidden);
  }
  return basis;
}

// All that makes hidden states lies in a subspace of 8 dimensions and gains are equal within each norm: then
// the narrow model computes what the wide one does, up to rounding.
Model in_subspace(Model model) {
  const auto basis = cosine_basis(8);
  const auto confine = [&](const std::string& name, bool transposed) {
    const Tensor& tensor = model.tensors.at(name);
    std::vector<float> values = read_floats(tensor, name);
    const int64_t columns = tensor.shape.size() == 2 ? tensor.shape[1] : 1;
    if (transposed) {
      std::vector<float> turned(values.size());
      for (int64_t i = 0; i < kHidden; ++i) {
        for (int64_t j = 0; j < columns; ++j)
          turned[static_cast<std::size_t>(j * kHidden + i)] =
              values[static_cast<std::size_t>(i * columns + j)];
      }
      turned = within(turned, basis);
      for (int64_t i = 0; i < kHidden; ++i) {
        for (int64_t j = 0; j < columns; ++j)
          values[static_cast<std::size_t>(i * columns + j)] =
              turned[static_cast<std::size_t>(j * kHidden + i)];
      }
    } else {
      values = within(values, basis);
    }
    model.tensors.set(name, Tensor::from_floats(tensor.shape, values));
  };
  float gain = 0.7f;
  const auto norm = [&](const NormSpec& spec) {
    model.tensors.set(spec.name + ".weight",
                      Tensor::from_floats({kHidden}, std::vector<float>(kHidden, gain)));
    gain += 0.1f;
    confine(spec.name + ".bias", false);
  };
  const EmbeddingSpec embedding = model.description.embedding;
  for (const std::string& table : {embedding.word, embedding.position.name, embedding.token_type}) {
    if (!table.empty()) confine(table + ".weight", false);
  }
  norm(embedding.norm);
  for (const Block& block : model.description.blocks) {
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    const LinearSpec& writer =
        attention != nullptr ? attention->output : std::get<FeedForwardSpec>(block.part).down;
    confine(writer.name + ".weight", true);
    confine(writer.name + ".bias", false);
    norm(block.norm);
  }
  return model;
}

TEST_P(StudentOf, ASubspaceSurvivesTheProjection) {
  for (const char* head : {"ForTokenClassification", "ForQuestionAnswering"}) {
    const OutputKind kind =
        head == std::string("ForTokenClassification") ? OutputKind::kTokenLogits : OutputKind::kSpanLogits;
    const Model teacher = in_subspace(tiny_teacher(GetParam(), head));
    // Every head stays: 4 heads of 4 beside a width of 8, which `transformers` cannot say.
    const Applied applied = carve(teacher, Json::object({{"hidden", 8}, {"heads", "4"}}));
    EXPECT_EQ(applied.model.description.hidden_size, 8);
    EXPECT_EQ(applied.model.config.find(key("num_attention_heads", "n_heads"))->as_int(""), 2);
    EXPECT_TRUE(has_own_widths(applied.model));
    EXPECT_NEAR(applied.report.details.find("energy")->as_double(""), 1, 1e-6);
    expect_close(predict(applied.model, kind).values, predict(teacher, kind).values, 2e-5f);
    // Inner products of all pairs of hidden states are the teacher's.
    const Prediction wide = predict(teacher), narrow = predict(applied.model);
    std::vector<float> a, b;
    for (int64_t i = 0; i < wide.num_rows; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        double x = 0, y = 0;
        for (int64_t k = 0; k < kHidden; ++k)
          x += double{wide.row(i)[static_cast<std::size_t>(k)]} *
               double{wide.row(j)[static_cast<std::size_t>(k)]};
        for (int64_t k = 0; k < 8; ++k)
          y += double{narrow.row(i)[static_cast<std::size_t>(k)]} *
               double{narrow.row(j)[static_cast<std::size_t>(k)]};
        a.push_back(static_cast<float>(x));
        b.push_back(static_cast<float>(y));
      }
    }
    expect_close(a, b, 1e-4f);
  }
}

// The gains of the narrow norm are scale * diag(P^T diag(g) P), of a teacher whose states fill the width:
// what is lost shows, and the lengths of what the norms make stay as long on average.
TEST_P(StudentOf, AWidthThatLosesKeepsTheLengths) {
  const Model teacher = tiny_teacher(GetParam(), "");
  const Applied applied = carve(teacher, Json::object({{"hidden", 12}}));
  const double energy = applied.report.details.find("energy")->as_double("");
  EXPECT_GT(energy, 0.75);
  EXPECT_LT(energy, 1);
  const auto mean_square = [](const Prediction& p) {
    double sum = 0;
    for (const float x : p.values) sum += double{x} * double{x};
    return sum / static_cast<double>(p.num_rows);
  };
  EXPECT_NEAR(mean_square(predict(applied.model)) / mean_square(predict(teacher)), energy, 0.15);
  EXPECT_FALSE(has_own_widths(applied.model));
  EXPECT_EQ(applied.model.config.find(key("hidden_size", "dim"))->as_int(""), 12);
  EXPECT_EQ(applied.model.config.find(key("num_attention_heads", "n_heads"))->as_int(""), 3);
}

// The classifier's dense layer keeps its most important units as they are: with 8 of 16 units unread, and
// hidden states in 8 dimensions, the logits are the teacher's.
TEST_P(StudentOf, TheClassifierReadsTheUnitsThatCount) {
  Model teacher = in_subspace(tiny_teacher(GetParam(), "ForSequenceClassification"));
  std::vector<float> readers = read_floats(teacher.tensors.at("classifier.weight"), "classifier");
  for (std::size_t i = 0; i < readers.size(); ++i) {
    if (i % 16 % 2 == 1) readers[i] = 0;
  }
  teacher.tensors.set("classifier.weight", Tensor::from_floats({3, kHidden}, readers));
  const Applied applied = carve(teacher, Json::object({{"hidden", 8}, {"heads", "4"}}));
  expect_close(predict(applied.model, OutputKind::kClassLogits).values,
               predict(teacher, OutputKind::kClassLogits).values, 2e-5f);
  EXPECT_NE(notes_of(applied).find("keeps 8 of its 16 units"), std::string::npos);
}

TEST_P(StudentOf, TheMaskedHeadIsAStart) {
  const Applied applied = carve(tiny_teacher(GetParam(), "ForMaskedLM"), Json::object({{"hidden", 8}}));
  EXPECT_EQ(predict(applied.model, OutputKind::kMaskedLogits).dim, kWords);
  EXPECT_NE(notes_of(applied).find("masked-LM head does not survive"), std::string::npos);
}

TEST_P(StudentOf, SentenceModulesFollow) {
  Model teacher = in_subspace(tiny_teacher(GetParam(), ""));
  add_pooling_modules(teacher, PoolingMode::kMean, true, 0);
  const Applied plain = carve(teacher, Json::object({{"hidden", 8}, {"heads", "4"}}));
  const Prediction wide = predict(teacher, OutputKind::kEmbedding),
                   narrow = predict(plain.model, OutputKind::kEmbedding);
  EXPECT_EQ(narrow.dim, 8);
  for (int64_t i = 1; i < wide.num_rows; ++i) {
    double x = 0, y = 0;
    for (std::size_t k = 0; k < kHidden; ++k) x += double{wide.row(0)[k]} * double{wide.row(i)[k]};
    for (std::size_t k = 0; k < 8; ++k) y += double{narrow.row(0)[k]} * double{narrow.row(i)[k]};
    EXPECT_NEAR(x, y, 1e-5);
  }
  const auto side_file = [](const Model& model, const std::string& path) {
    for (const SideFile& file : model.side_files) {
      if (file.path == path) return Json::parse(file.text(), path);
    }
    return Json();
  };
  EXPECT_EQ(side_file(plain.model, "1_Pooling/config.json").find("word_embedding_dimension")->as_int(""), 8);

  Rng rng(2);
  Model with_dense = in_subspace(tiny_teacher(GetParam(), ""));
  add_pooling_modules(with_dense, PoolingMode::kMean, false, 0);
  append_dense_module(with_dense, random_tensor({5, kHidden}, rng), random_tensor({5}, rng));
  const Applied dense = carve(with_dense, Json::object({{"hidden", 8}, {"heads", "4"}}));
  expect_close(predict(dense.model, OutputKind::kEmbedding).values,
               predict(with_dense, OutputKind::kEmbedding).values, 1e-5f);
  EXPECT_EQ(side_file(dense.model, "2_Dense/config.json").find("in_features")->as_int(""), 8);
}

TEST_P(StudentOf, RandomWeightsOfTheSameSizes) {
  const Model teacher = tiny_teacher(GetParam(), "ForMaskedLM");
  Json given =
      Json::object({{"layers", 2}, {"hidden", 8}, {"intermediate", "7"}, {"init", "random"}, {"seed", 4}});
  const Model one = carve(teacher, given).model;
  const Model again = carve(tiny_teacher(GetParam(), "ForMaskedLM", 4, 77), given).model;
  given.set("init", "copy");
  const Model copy = carve(teacher, given).model;
  EXPECT_EQ(one.config.dump(), copy.config.dump());
  double squares = 0;
  int64_t count = 0;
  for (const auto& [name, tensor] : one.tensors) {
    EXPECT_EQ(tensor.shape, copy.tensors.at(name).shape) << name;
    EXPECT_TRUE(same_bytes(tensor, again.tensors.at(name))) << name;  // of names and seed alone
    for (const float x : read_floats(tensor, name)) {
      if (tensor.shape.size() == 1) {
        EXPECT_EQ(x, name.ends_with(".weight") ? 1.0f : 0.0f) << name;
      } else {
        EXPECT_LE(std::fabs(x), 0.04f);
        squares += double{x} * double{x};
        ++count;
      }
    }
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(count)), 0.02 * 0.88,
              0.002);  // cut off at two deviations
  given.set("init", "random");
  given.set("seed", 5);
  const std::string name = prefix() + "0." + key("output.dense.weight", "ffn.lin2.weight");
  EXPECT_FALSE(same_bytes(carve(teacher, given).model.tensors.at(name), one.tensors.at(name)));
}

// Widths that a teacher has of its own, and pruned_heads, go with their layers.
TEST(Student, UnequalTeachers) {
  Model teacher = tiny_teacher("bert", "");
  const Applied first = carve(teacher, Json::object({{"heads", "4,3,2,1"}, {"intermediate", "20,15,10,5"}}));
  const Applied second = carve(first.model, Json::object({{"from", "1,3"}}));
  const ModelSizes sizes = read_sizes(second.model);
  EXPECT_EQ(sizes.layers, (std::vector<LayerWidths>{{3, 15}, {1, 5}}));
  (void)predict(second.model);
  const Json layers = second.report.details.find("layers")->as_array("")[0];
  EXPECT_EQ(layers.find("teacher")->as_int(""), 1);

  Json pruned = Json::object();
  pruned.set("3", Json(Json::Array{Json(0), Json(2)}));
  Model by_heads = carve(teacher, Json::object({{"heads", "4,4,4,2"}})).model;
  by_heads.config.erase("compression_config");
  by_heads.config.set("pruned_heads", pruned);
  complete_model(by_heads);
  const Model cut = carve(by_heads, Json::object({{"from", "0,3"}})).model;
  EXPECT_FALSE(cut.config.contains("pruned_heads"));
  EXPECT_EQ(read_sizes(cut).layers, (std::vector<LayerWidths>{{4, 20}, {2, 20}}));
}

TEST(Student, RefusesWhatCannotBeHad) {
  const Model teacher = tiny_teacher("bert", "ForSequenceClassification");
  const auto expect = [&](const Model& model, const Json& given, ErrorKind kind, std::string_view text) {
    const Error error = error_of([&] { (void)carve(model, given); });
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_TRUE(says(error, text)) << error.what();
  };
  expect(teacher, Json::object({{"layers", 5}}), ErrorKind::kInput, "the teacher has 4");
  expect(teacher, Json::object({{"heads", "5"}}), ErrorKind::kInput, "layer 0");
  expect(teacher, Json::object({{"heads", "4,4,4"}}), ErrorKind::kInput, "3 numbers for 4 layers");
  expect(teacher, Json::object({{"heads", "0"}}), ErrorKind::kInput, "outside");
  expect(teacher, Json::object({{"intermediate", "21"}}), ErrorKind::kInput, "has 20");
  expect(teacher, Json::object({{"hidden", 9}}), ErrorKind::kInput, "multiple of the 4 features");
  expect(teacher, Json::object({{"hidden", 20}}), ErrorKind::kInput, "the teacher's is 16");
  expect(apply_method("quantize", teacher).model, Json::object({{"layers", 2}}), ErrorKind::kInput,
         "quantized");
  Model shared = teacher;
  shared.config.set("compression_config", Json::object({{"shared", Json::object()}}));
  expect(shared, Json::object({{"layers", 2}}), ErrorKind::kUnsupported, "share");
  // Without texts.
  for (const Json& given :
       {Json::object({{"hidden", 8}}), Json::object({{"heads", "2"}, {"importance", "activation"}})}) {
    const Error error = error_of([&] { (void)apply_method("student", teacher, given); });
    EXPECT_TRUE(says(error, "calibration texts")) << error.what();
  }
}

}  // namespace
}  // namespace penjing
