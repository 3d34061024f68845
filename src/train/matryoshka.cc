#include "train/matryoshka.h"

#include <algorithm>

#include "base/error.h"
#include "base/parse.h"

namespace penjing::train {

namespace {

// A list of numbers, one number, or numbers between commas.
std::vector<double> read_numbers(const Json& json, const char* what) {
  std::vector<double> numbers;
  if (json.is_null()) return numbers;
  if (json.is_string()) {
    const std::string text = json.as_string(what);
    if (text.empty()) return numbers;
    for (const std::string& part : split_at(text, ',')) numbers.push_back(parse_number(part, what));
    return numbers;
  }
  if (json.is_number()) return {json.as_double(what)};
  if (!json.is_array()) fail(ErrorKind::kInput, "{}: {}, wanted a list of numbers", what, json.dump());
  for (const Json& item : json.as_array(what)) {
    if (!item.is_number()) fail(ErrorKind::kInput, "{}: {}, wanted a list of numbers", what, json.dump());
    numbers.push_back(item.as_double(what));
  }
  return numbers;
}

}  // namespace

Matryoshka read_matryoshka(const Json& dims, const Json& weights) {
  Matryoshka matryoshka;
  for (const double number : read_numbers(dims, "matryoshka")) {
    const auto dim = static_cast<int64_t>(number);
    if (!(number >= 1 && number <= 1 << 20) || static_cast<double>(dim) != number)
      fail(ErrorKind::kInput, "matryoshka: {}, wanted widths from 1", number);
    if (std::find(matryoshka.dims.begin(), matryoshka.dims.end(), dim) != matryoshka.dims.end())
      fail(ErrorKind::kInput, "matryoshka: {} is there twice", dim);
    matryoshka.dims.push_back(dim);
  }
  matryoshka.weights = read_numbers(weights, "matryoshka_weights");
  for (const double weight : matryoshka.weights) {
    if (!(weight >= 0)) fail(ErrorKind::kInput, "matryoshka_weights: {}, wanted numbers from 0", weight);
  }
  if (matryoshka.weights.empty()) matryoshka.weights.assign(matryoshka.dims.size(), 1);
  if (matryoshka.weights.size() != matryoshka.dims.size()) {
    fail(ErrorKind::kInput, "matryoshka_weights: {} weights for {} widths", matryoshka.weights.size(),
         matryoshka.dims.size());
  }
  return matryoshka;
}

int64_t embedding_width(const Model& model) {
  int64_t width = model.description.hidden_size;
  for (const SentenceModule& module : model.sentence.modules) {
    if (module.kind == SentenceModule::Kind::kPooling) {
      width *= static_cast<int64_t>(module.pooling.modes.size());
    }
    if (module.kind == SentenceModule::Kind::kDense) width = module.dense.out;
  }
  return width;
}

void require_dimensions(const Matryoshka& matryoshka, int64_t width) {
  for (const int64_t dim : matryoshka.dims) {
    if (dim > width)
      fail(ErrorKind::kInput, "matryoshka: {}, but the embeddings have {} numbers", dim, width);
  }
}

bool has_unit_embeddings(const Model& model) {
  const auto& modules = model.sentence.modules;
  return !modules.empty() && modules.back().kind == SentenceModule::Kind::kNormalize;
}

at::Tensor first_dimensions(const at::Tensor& rows, int64_t dim, bool unit) {
  const at::Tensor cut = rows.narrow(1, 0, dim);
  return unit ? cut / cut.norm(2, {1}, true).clamp_min(1e-12) : cut;
}

at::Tensor sum_over_dimensions(const Matryoshka& matryoshka,
                               const std::function<at::Tensor(int64_t dim)>& loss_at) {
  at::Tensor sum;
  for (std::size_t k = 0; k < matryoshka.dims.size(); ++k) {
    const at::Tensor value = loss_at(matryoshka.dims[k]) * matryoshka.weights[k];
    sum = sum.defined() ? sum + value : value;
  }
  return sum;
}

EmbeddingLoss at_dimensions(const Matryoshka& matryoshka, bool unit, EmbeddingLoss loss_of) {
  if (matryoshka.dims.empty()) return loss_of;
  return [matryoshka, unit, loss_of = std::move(loss_of)](const at::Tensor& embeddings) {
    return sum_over_dimensions(matryoshka,
                               [&](int64_t dim) { return loss_of(first_dimensions(embeddings, dim, unit)); });
  };
}

}  // namespace penjing::train
