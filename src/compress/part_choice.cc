#include "compress/part_choice.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>

#include "base/error.h"
#include "model/linear.h"

namespace penjing {

namespace {

// Elements of a tensor [rows, columns] (or [rows]) as bytes.
struct Elements {
  const std::byte* data;
  std::size_t size;  // of one
  int64_t rows, columns;
};

Elements elements_of(const Tensor& tensor) {
  return {tensor.bytes.data(), static_cast<std::size_t>(bits_of(tensor.type)) / 8, tensor.shape.at(0),
          tensor.shape.size() == 2 ? tensor.shape[1] : 1};
}

std::vector<int64_t> first_numbers(int64_t count) {
  std::vector<int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// Columns of the heads, or of the features themselves (head_dim 1).
std::vector<int64_t> columns_of(const std::vector<int64_t>& parts, int64_t head_dim) {
  std::vector<int64_t> columns;
  for (const int64_t part : parts) {
    for (int64_t i = 0; i < head_dim; ++i) columns.push_back(part * head_dim + i);
  }
  return columns;
}

// Sum of squares of the inputs' features, by module.
class SquaredInputs : public Tap {
 public:
  explicit SquaredInputs(const std::vector<std::string>& modules) {
    for (const std::string& module : modules) sums_[module + ".in"];
  }
  bool wants(std::string_view site) override { return sums_.contains(std::string(site)); }
  void on(std::string_view site, int, const float* rows, int64_t num_rows, int64_t dim) override {
    std::vector<double>& sums = sums_.at(std::string(site));
    sums.resize(static_cast<std::size_t>(dim), 0);
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t i = 0; i < dim; ++i) {
        const double x = rows[row * dim + i];
        sums[static_cast<std::size_t>(i)] += x * x;
      }
    }
  }
  const std::vector<double>& of(const std::string& module, int64_t wanted) const {
    const std::vector<double>& sums = sums_.at(module + ".in");
    if (static_cast<int64_t>(sums.size()) != wanted)
      fail(ErrorKind::kInput, "calibration: {} inputs reached {}, wanted {}; are there any texts?",
           sums.size(), module, wanted);
    return sums;
  }

 private:
  std::map<std::string, std::vector<double>> sums_;
};

// Scores of the inner columns between a product that makes them and one that reads them.
std::vector<double> score_columns(const Model& model, const LinearSpec& maker, const LinearSpec& reader,
                                  const SquaredInputs* inputs) {
  const std::string name = reader.name + ".weight";
  const std::vector<float> out = read_floats(model.tensors.at(name), name);
  const auto inner = static_cast<std::size_t>(reader.in);
  std::vector<double> column(inner, 0), size(inner, 0);
  for (std::size_t i = 0; i < out.size(); ++i) column[i % inner] += double{out[i]} * double{out[i]};
  if (inputs != nullptr) {
    size = inputs->of(reader.name, reader.in);
  } else {
    const std::vector<float> in = read_floats(model.tensors.at(maker.name + ".weight"), maker.name);
    const auto width = static_cast<std::size_t>(maker.in);
    for (std::size_t i = 0; i < in.size(); ++i) size[i / width] += double{in[i]} * double{in[i]};
    if (maker.bias) {
      const std::vector<float> bias = read_floats(model.tensors.at(maker.name + ".bias"), maker.name);
      for (std::size_t i = 0; i < inner; ++i) size[i] += double{bias[i]} * double{bias[i]};
    }
  }
  for (std::size_t i = 0; i < inner; ++i) column[i] = std::sqrt(column[i] * size[i]);
  return column;
}

std::vector<double> score_heads(const std::vector<double>& columns, int64_t head_dim) {
  std::vector<double> heads(columns.size() / static_cast<std::size_t>(head_dim), 0);
  for (std::size_t i = 0; i < columns.size(); ++i)
    heads[i / static_cast<std::size_t>(head_dim)] += columns[i] * columns[i];
  for (double& score : heads) score = std::sqrt(score);
  return heads;
}

}  // namespace

void keep_rows(Model& model, const std::string& name, const std::vector<int64_t>& kept) {
  const Tensor tensor = model.tensors.at(name);
  const Elements e = elements_of(tensor);
  const std::size_t line = e.size * static_cast<std::size_t>(e.columns);
  std::vector<std::byte> bytes(line * kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i)
    std::memcpy(bytes.data() + i * line, e.data + static_cast<std::size_t>(kept[i]) * line, line);
  Shape shape = tensor.shape;
  shape[0] = static_cast<int64_t>(kept.size());
  model.tensors.set(name, Tensor::from_bytes(tensor.type, shape, std::move(bytes)));
}

void keep_columns(Model& model, const std::string& name, const std::vector<int64_t>& kept) {
  const Tensor tensor = model.tensors.at(name);
  const Elements e = elements_of(tensor);
  std::vector<std::byte> bytes;
  bytes.reserve(e.size * static_cast<std::size_t>(e.rows) * kept.size());
  for (int64_t row = 0; row < e.rows; ++row) {
    for (const int64_t column : kept) {
      const std::byte* from = e.data + e.size * static_cast<std::size_t>(row * e.columns + column);
      bytes.insert(bytes.end(), from, from + e.size);
    }
  }
  model.tensors.set(
      name, Tensor::from_bytes(tensor.type, {e.rows, static_cast<int64_t>(kept.size())}, std::move(bytes)));
}

std::vector<int64_t> best_of(const std::vector<double>& scores, int64_t count) {
  std::vector<int64_t> order = first_numbers(static_cast<int64_t>(scores.size()));
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  order.resize(static_cast<std::size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

void require_plain_products(const Model& model) {
  for (const LinearSpec& spec : encoder_linears(model.description)) {
    const Linear linear = resolve_linear(model, spec);
    if (linear.kind != LinearKind::kDense || !linear.shared_with.empty() || !linear.smooth.bytes.empty())
      fail(ErrorKind::kUnsupported, "{}: shared, low-rank, smoothed or integer weights cannot be cut",
           spec.name);
  }
}

std::vector<KeptParts> choose_parts(const Model& model, const std::vector<LayerWidths>& wanted,
                                    const CalibrationRun& run) {
  const ModelSizes sizes = read_sizes(model);
  std::vector<KeptParts> kept;
  std::vector<std::string> modules;
  for (std::size_t layer = 0; layer < sizes.layers.size(); ++layer) {
    const LayerWidths have = sizes.layers[layer], want = wanted.at(layer);
    if (want.num_heads > have.num_heads)
      fail(ErrorKind::kInput, "heads: {} in layer {}, the teacher's has {}", want.num_heads, layer,
           have.num_heads);
    if (want.intermediate_size > have.intermediate_size)
      fail(ErrorKind::kInput, "intermediate: {} in layer {}, the teacher's has {}", want.intermediate_size,
           layer, have.intermediate_size);
    kept.push_back({first_numbers(have.num_heads), {}});
  }
  for (const Block& block : model.description.blocks) {
    if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part))
      kept[static_cast<std::size_t>(block.layer)].inner.push_back(first_numbers(feed_forward->down.in));
  }
  struct Cut {
    const LinearSpec *maker, *reader;
    int64_t head_dim, count;
    std::vector<int64_t>* kept;
  };
  std::vector<Cut> cuts;
  std::vector<std::size_t> seen(kept.size(), 0);  // feed-forwards of each layer
  for (const Block& block : model.description.blocks) {
    const auto layer = static_cast<std::size_t>(block.layer);
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      if (wanted[layer].num_heads < attention->num_heads)
        cuts.push_back({&attention->value, &attention->output, attention->head_dim, wanted[layer].num_heads,
                        &kept[layer].heads});
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      std::vector<int64_t>& inner = kept[layer].inner[seen[layer]++];
      if (wanted[layer].intermediate_size < feed_forward->down.in)
        cuts.push_back({&feed_forward->up, &feed_forward->down, 1, wanted[layer].intermediate_size, &inner});
    }
  }
  if (cuts.empty()) return kept;
  require_plain_products(model);
  for (const Cut& cut : cuts) modules.push_back(cut.reader->name);
  SquaredInputs inputs(modules);
  if (run) run(model, inputs, kAllTexts);
  for (const Cut& cut : cuts) {
    const std::vector<double> columns =
        score_columns(model, *cut.maker, *cut.reader, run ? &inputs : nullptr);
    *cut.kept = best_of(cut.head_dim == 1 ? columns : score_heads(columns, cut.head_dim), cut.count);
  }
  return kept;
}

void cut_parts(Model& model, const std::vector<KeptParts>& kept) {
  ModelSizes sizes = read_sizes(model);
  const auto keep_outputs = [&](const LinearSpec& spec, const std::vector<int64_t>& columns) {
    keep_rows(model, spec.name + ".weight", columns);
    if (spec.bias) keep_rows(model, spec.name + ".bias", columns);
  };
  std::vector<std::size_t> seen(kept.size(), 0);
  for (const Block& block : model.description.blocks) {
    const KeptParts& parts = kept.at(static_cast<std::size_t>(block.layer));
    LayerWidths& widths = sizes.layers[static_cast<std::size_t>(block.layer)];
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      if (static_cast<int64_t>(parts.heads.size()) == attention->num_heads) continue;
      const std::vector<int64_t> columns = columns_of(parts.heads, attention->head_dim);
      for (const LinearSpec* spec : {&attention->query, &attention->key, &attention->value})
        keep_outputs(*spec, columns);
      keep_columns(model, attention->output.name + ".weight", columns);
      widths.num_heads = static_cast<int64_t>(parts.heads.size());
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      const std::vector<int64_t>& inner = parts.inner.at(seen[static_cast<std::size_t>(block.layer)]++);
      if (static_cast<int64_t>(inner.size()) == feed_forward->down.in) continue;
      keep_outputs(feed_forward->up, inner);
      if (feed_forward->gated) keep_outputs(feed_forward->gate, inner);
      keep_columns(model, feed_forward->down.name + ".weight", inner);
      widths.intermediate_size = static_cast<int64_t>(inner.size());
    }
  }
  if (sizes == read_sizes(model)) return;
  write_sizes(model, sizes);
  model.description = describe(model.config, model.tensors);
}

}  // namespace penjing
