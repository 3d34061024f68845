#include "compress/factorized_embedding.h"

#include <cmath>

#include "base/error.h"
#include "base/thread_pool.h"
#include "compress/principal_components.h"
#include "compress/second_moment.h"
#include "model/linear.h"
#include "numerics/symmetric_eigen.h"

namespace penjing {

namespace {

constexpr int64_t kPlaces = 64;      // words are fitted at the first so many positions, in turn
constexpr double kSmallest = 1e-10;  // of the largest eigenvalue: directions below it are not inverted

// Rows of several tables, end to end.
struct Rows {
  std::vector<float> values;
  int64_t width = 0;
  const float* at(int64_t row) const { return values.data() + row * width; }
};

void append(Rows& rows, const EmbeddingTable& table) {
  std::vector<float> row(static_cast<std::size_t>(table.width));
  for (int64_t i = 0; i < table.rows; ++i) {
    table.read_row(i, row);
    rows.values.insert(rows.values.end(), row.begin(), row.end());
  }
}

// (x - mean) / sqrt(variance + epsilon) * gain + shift; without gain: neither.
void normalize(std::span<const double> x, double epsilon, const float* gain, const float* shift, float* y) {
  double mean = 0, variance = 0;
  for (const double v : x) mean += v;
  mean /= static_cast<double>(x.size());
  for (const double v : x) variance += (v - mean) * (v - mean);
  const double scale = 1 / std::sqrt(variance / static_cast<double>(x.size()) + epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double unit = (x[i] - mean) * scale;
    y[i] = static_cast<float>(gain == nullptr ? unit : unit * double{gain[i]} + double{shift[i]});
  }
}

std::vector<float> floats_of(const Tensor& tensor, const std::string& name) {
  std::vector<float> values(static_cast<std::size_t>(tensor.size()));
  read_floats(tensor, 0, values, name);
  return values;
}

Tensor part_of(const Rows& rows, int64_t first, int64_t count) {
  return Tensor::from_floats({count, rows.width},
                             {rows.at(first), static_cast<std::size_t>(count * rows.width)});
}

// B [inputs, outputs] that minimises |X B - Y|, from the second moment of the rows (X, Y): by the eigenvalues
// of X^T X.
std::vector<double> least_squares(const std::vector<double>& moment, int64_t inputs, int64_t outputs) {
  const int64_t all = inputs + outputs;
  const auto of = [&](int64_t i, int64_t j) { return moment[static_cast<std::size_t>(i * all + j)]; };
  std::vector<double> xx(static_cast<std::size_t>(inputs * inputs));
  for (int64_t i = 0; i < inputs; ++i) {
    for (int64_t j = 0; j <= i; ++j) xx[static_cast<std::size_t>(i * inputs + j)] = of(j, i);
  }
  const SymmetricEigen eigen = decompose_symmetric(xx, inputs);
  std::vector<double> b(static_cast<std::size_t>(inputs * outputs), 0),
      along(static_cast<std::size_t>(outputs));
  for (int64_t k = 0; k < inputs; ++k) {
    const double value = eigen.values[static_cast<std::size_t>(k)];
    if (value <= kSmallest * eigen.values.front()) break;
    const double* v = eigen.vectors.data() + k * inputs;
    std::fill(along.begin(), along.end(), 0);
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t j = 0; j < outputs; ++j)
        along[static_cast<std::size_t>(j)] += v[i] / value * of(i, inputs + j);
    }
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t j = 0; j < outputs; ++j)
        b[static_cast<std::size_t>(i * outputs + j)] += v[i] * along[static_cast<std::size_t>(j)];
    }
  }
  return b;
}

void rename(TensorMap& tensors, const std::string& from, const std::string& to) {
  for (const char* part : {".weight", ".bias"}) {
    const Tensor* tensor = tensors.find(from + part);
    if (tensor == nullptr) continue;
    const Tensor moved = *tensor;
    tensors.erase(from + part);
    tensors.set(to + part, moved);
  }
}

void become_electra(Model& model, int64_t width) {
  const bool classifies = model.description.find_head(HeadKind::kSequenceClassifier) != nullptr;
  if (classifies) {
    rename(model.tensors, "classifier", "classifier.out_proj");
    rename(model.tensors, "pooler.dense", "classifier.dense");
  }
  std::vector<std::string> gone;
  for (const auto& [name, tensor] : model.tensors) {
    if (name.starts_with("pooler.") || name.starts_with("cls.")) gone.push_back(name);
  }
  for (const std::string& name : gone) model.tensors.erase(name);
  std::string name = "ElectraModel";
  for (const char* task : {"ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"}) {
    const Json* names = model.config.find("architectures");
    if (names == nullptr || !names->is_array()) break;
    for (const Json& one : names->as_array("architectures")) {
      if (one.is_string() && one.as_string("").ends_with(task)) name = std::string("Electra") + task;
    }
  }
  model.config.set("architectures", Json(Json::Array{Json(name)}));
  model.config.set("model_type", "electra");
  model.config.set("embedding_size", width);
}

}  // namespace

FactorizedEmbedding factorize_embedding(const Model& bert, int64_t width, ThreadPool& pool) {
  const Description& d = bert.description;
  if (d.family != "bert") {
    fail(ErrorKind::kUnsupported,
         "embedding_width: of BERT's family alone, which ELECTRA's has the layers of; found {}", d.family);
  }
  const int64_t hidden = d.hidden_size;
  if (width < 1 || width >= hidden)
    fail(ErrorKind::kInput, "embedding_width is {}; wanted 1 to {}, below the hidden size", width,
         hidden - 1);
  const EmbeddingSpec& spec = d.embedding;
  const EmbeddingTable words = resolve_embedding(bert.tensors, spec.word, spec.vocab_size, hidden);
  const EmbeddingTable places =
      resolve_embedding(bert.tensors, spec.position.name, spec.position.count, hidden);
  const EmbeddingTable types = resolve_embedding(bert.tensors, spec.token_type, spec.type_vocab_size, hidden);
  Rows whole{{}, hidden};
  for (const EmbeddingTable* table : {&words, &places, &types}) append(whole, *table);
  FactorizedEmbedding out{bert};
  Rows narrow{whole.values, width};
  out.energy = project_on_components(narrow.values, hidden, width, pool);

  const std::vector<float> gain = floats_of(bert.tensors.at(spec.norm.name + ".weight"), spec.norm.name);
  const std::vector<float> shift = floats_of(bert.tensors.at(spec.norm.name + ".bias"), spec.norm.name);
  const int64_t inputs = width + 1, together = inputs + hidden;  // the last input is 1
  std::vector<float> rows(static_cast<std::size_t>(words.rows * together));
  pool.parallel_for(words.rows, [&](int64_t i, int) {
    const int64_t place = words.rows + 1 + i % std::min(kPlaces, places.rows - 1),
                  type = words.rows + places.rows;
    const auto sum = [&](const Rows& from) {
      std::vector<double> x(static_cast<std::size_t>(from.width));
      for (std::size_t k = 0; k < x.size(); ++k)
        x[k] = double{from.at(i)[k]} + double{from.at(place)[k]} + double{from.at(type)[k]};
      return x;
    };
    float* row = rows.data() + i * together;
    normalize(sum(narrow), spec.norm.epsilon, nullptr, nullptr, row);
    row[width] = 1;
    normalize(sum(whole), spec.norm.epsilon, gain.data(), shift.data(), row + inputs);
  });
  std::vector<double> moment;
  add_second_moment(rows, together, pool, moment);
  const std::vector<double> b = least_squares(moment, inputs, hidden);
  std::vector<float> weight(static_cast<std::size_t>(hidden * width)), bias(static_cast<std::size_t>(hidden));
  for (int64_t j = 0; j < hidden; ++j) {
    for (int64_t i = 0; i < width; ++i)
      weight[static_cast<std::size_t>(j * width + i)] =
          static_cast<float>(b[static_cast<std::size_t>(i * hidden + j)]);
    bias[static_cast<std::size_t>(j)] = static_cast<float>(b[static_cast<std::size_t>(width * hidden + j)]);
  }
  // |Y - X B|^2 = |Y|^2 - sum B . (X^T Y), at the minimum.
  double all = 0, explained = 0;
  for (int64_t j = 0; j < hidden; ++j) {
    all += moment[static_cast<std::size_t>((inputs + j) * together + inputs + j)];
    for (int64_t i = 0; i < inputs; ++i)
      explained += b[static_cast<std::size_t>(i * hidden + j)] *
                   moment[static_cast<std::size_t>(i * together + inputs + j)];
  }
  out.error = (all - explained) / all;

  Model& model = out.model;
  model.tensors.set(spec.word + ".weight", part_of(narrow, 0, words.rows));
  model.tensors.set(spec.position.name + ".weight", part_of(narrow, words.rows, places.rows));
  model.tensors.set(spec.token_type + ".weight", part_of(narrow, words.rows + places.rows, types.rows));
  const auto count = static_cast<std::size_t>(width);
  model.tensors.set(spec.norm.name + ".weight", Tensor::from_floats({width}, std::vector<float>(count, 1)));
  model.tensors.set(spec.norm.name + ".bias", Tensor::from_floats({width}, std::vector<float>(count, 0)));
  model.tensors.set("embeddings_project.weight", Tensor::from_floats({hidden, width}, weight));
  model.tensors.set("embeddings_project.bias", Tensor::from_floats({hidden}, bias));
  become_electra(model, width);
  model.description = describe(model.config, model.tensors);
  check_model(model, false);
  return out;
}

}  // namespace penjing
