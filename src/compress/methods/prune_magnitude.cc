// magnitude: the weights of the encoder's products that matter least become zero, in one step and without
// training.
//
//   score of a weight: |w| (Han et al. 2015), or |w_oi| * sqrt(sum of x_i^2) over calibration texts (Sun et
//   al. 2023, Wanda); of a block: the mean over its weights unstructured   every weight by itself 4x1 blocks
//   of 4 consecutive outputs, the first a multiple of 4, x 1 input: what the sparse products skip 1x4 blocks
//   of 1 output x 4 consecutive inputs 2:4            the 2 smallest of every 4 consecutive inputs of an
//   output (a shorter rest: the half of it)
//
// The floor(sparsity * blocks) lowest blocks go, of each matrix or of all together; of equals the first.
// Zeros are stored as they are, so that any loader reads the result; the runtime finds the pattern by itself.
// Needs texts for score wanda only. Leaves alone: biases, norms, embeddings, heads, pooler. Already zero
// weights count as pruned. Deviation from Wanda: it compares within an output; here `scope` says within what,
// and block patterns cross outputs.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "compress/calibration.h"
#include "compress/cast.h"
#include "compress/exclusions.h"
#include "compress/params.h"
#include "model/linear.h"

namespace penjing {

namespace {

struct Params {
  double sparsity = 0.5;
  std::string pattern = "4x1", scope = "layer", score = "magnitude";
  std::vector<std::string> exclude;

  template <class Visitor>
  void visit(Visitor& v) {
    v.number("sparsity", sparsity, 0, 1, "share of the blocks that become zero; 2:4 is always one half");
    v.choice("pattern", pattern, {"4x1", "unstructured", "1x4", "2:4"},
             "which weights go together: 4x1 is what runs faster here");
    v.choice("scope", scope, {"layer", "global"}, "that share of each matrix, or of all together");
    v.choice("score", score, {"magnitude", "wanda"}, "|w|, or |w| times how large its input is in texts");
    v.list("exclude", exclude, "module names to leave as they are; * and ? allowed; repeatable");
  }
};

// Of a matrix [out, in]: blocks [out / height][in / width], the last ones cut off at the border.
struct BlockShape {
  int64_t height, width;
};

BlockShape shape_of(const std::string& pattern) {
  if (pattern == "4x1") return {4, 1};
  if (pattern == "1x4") return {1, 4};
  return {1, 1};
}

struct Matrix {
  std::string name;
  int64_t out = 0, in = 0;
  std::vector<float> values;
  std::vector<float> input_norm;  // wanda: [in]
};

// Root of the sum of squares of every input feature.
class InputNorms : public Tap {
 public:
  explicit InputNorms(std::map<std::string, std::vector<double>>& squares) : squares_(squares) {}
  bool wants(std::string_view site) override { return squares_.contains(module_of(site)); }
  void on(std::string_view site, int, const float* rows, int64_t num_rows, int64_t dim) override {
    std::vector<double>& sums = squares_.at(module_of(site));
    sums.resize(static_cast<std::size_t>(dim));
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t i = 0; i < dim; ++i) {
        const double x = rows[row * dim + i];
        sums[static_cast<std::size_t>(i)] += x * x;
      }
    }
  }

 private:
  static std::string module_of(std::string_view site) {
    return site.ends_with(".in") ? std::string(site.substr(0, site.size() - 3)) : std::string();
  }
  std::map<std::string, std::vector<double>>& squares_;
};

void measure_inputs(const Model& model, const CalibrationRun& run, std::vector<Matrix>& matrices) {
  std::map<std::string, std::vector<double>> squares;
  for (const Matrix& matrix : matrices) squares[matrix.name];
  InputNorms tap(squares);
  run(model, tap, kAllTexts);
  for (Matrix& matrix : matrices) {
    for (const double square : squares.at(matrix.name))
      matrix.input_norm.push_back(static_cast<float>(std::sqrt(square)));
    if (static_cast<int64_t>(matrix.input_norm.size()) != matrix.in)
      fail(ErrorKind::kInternal, "{}: inputs of {} features, wanted {}", matrix.name,
           matrix.input_norm.size(), matrix.in);
  }
}

float score_weight(const Matrix& matrix, int64_t o, int64_t i) {
  const float magnitude = std::fabs(matrix.values[static_cast<std::size_t>(o * matrix.in + i)]);
  return matrix.input_norm.empty() ? magnitude : magnitude * matrix.input_norm[static_cast<std::size_t>(i)];
}

struct Block {
  float score;
  int32_t matrix;
  int32_t row, column;  // of blocks
};

template <typename Visit>
void visit_block(const Matrix& matrix, BlockShape shape, const Block& block, Visit visit) {
  const int64_t o0 = block.row * shape.height, i0 = block.column * shape.width;
  for (int64_t o = o0; o < std::min(matrix.out, o0 + shape.height); ++o) {
    for (int64_t i = i0; i < std::min(matrix.in, i0 + shape.width); ++i) visit(o, i);
  }
}

void append_blocks(const Matrix& matrix, int32_t index, BlockShape shape, std::vector<Block>& blocks) {
  for (int64_t row = 0; row * shape.height < matrix.out; ++row) {
    for (int64_t column = 0; column * shape.width < matrix.in; ++column) {
      Block block{0, index, static_cast<int32_t>(row), static_cast<int32_t>(column)};
      double sum = 0;
      int64_t count = 0;
      visit_block(matrix, shape, block, [&](int64_t o, int64_t i) {
        sum += score_weight(matrix, o, i);
        ++count;
      });
      block.score = static_cast<float>(sum / static_cast<double>(count));
      blocks.push_back(block);
    }
  }
}

void zero_lowest(std::vector<Block>& blocks, double sparsity, BlockShape shape,
                 std::vector<Matrix>& matrices) {
  const auto count = static_cast<std::ptrdiff_t>(sparsity * static_cast<double>(blocks.size()));
  const auto before = [](const Block& a, const Block& b) {
    return std::tie(a.score, a.matrix, a.row, a.column) < std::tie(b.score, b.matrix, b.row, b.column);
  };
  std::nth_element(blocks.begin(), blocks.begin() + std::max<std::ptrdiff_t>(count - 1, 0), blocks.end(),
                   before);
  for (std::ptrdiff_t b = 0; b < count; ++b) {
    const Block& block = blocks[static_cast<std::size_t>(b)];
    Matrix& matrix = matrices[static_cast<std::size_t>(block.matrix)];
    visit_block(matrix, shape, block, [&](int64_t o, int64_t i) {
      matrix.values[static_cast<std::size_t>(o * matrix.in + i)] = 0;
    });
  }
}

void zero_two_of_four(Matrix& matrix) {
  for (int64_t o = 0; o < matrix.out; ++o) {
    for (int64_t begin = 0; begin < matrix.in; begin += 4) {
      const int64_t size = std::min<int64_t>(4, matrix.in - begin);
      int64_t order[4] = {0, 1, 2, 3};
      std::stable_sort(order, order + size, [&](int64_t a, int64_t b) {
        return score_weight(matrix, o, begin + a) < score_weight(matrix, o, begin + b);
      });
      for (int64_t i = 0; i < size / 2; ++i) {
        matrix.values[static_cast<std::size_t>(o * matrix.in + begin + order[i])] = 0;
      }
    }
  }
}

std::vector<Matrix> read_matrices(const Model& model, const Params& params, Exclusions& exclusions) {
  std::vector<Matrix> matrices;
  for (const LinearSpec& spec : encoder_linears(model.description)) {
    const std::string name = spec.name + ".weight";
    const Tensor* weight = model.tensors.find(name);
    if (exclusions.contain(spec.name) || weight == nullptr) continue;  // absent: shared with another
    if (weight->shape != Shape{spec.out, spec.in}) continue;
    Matrix matrix{spec.name, spec.out, spec.in, read_floats(*weight, name), {}};
    for (std::size_t i = 0; i < matrix.values.size(); ++i) {
      if (!std::isfinite(matrix.values[i]))
        fail(ErrorKind::kFormat, "{}: element {} is not finite: it cannot be compared", name, i);
    }
    matrices.push_back(std::move(matrix));
  }
  if (matrices.empty()) fail(ErrorKind::kInput, "{}: nothing to prune", params.pattern);
  return matrices;
}

Model apply(const Model& input, const Json& resolved, MethodContext& context, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  if (const Json* scheme = input.config.find("quantization_config");
      scheme != nullptr && !scheme->is_null()) {
    fail(ErrorKind::kInput,
         "prune: the model is quantized already; prune first and quantize the result, zeros stay");
  }
  check_model(input, false);
  Exclusions exclusions("prune", params.exclude);
  std::vector<Matrix> matrices = read_matrices(input, params, exclusions);
  exclusions.refuse_unused();
  if (params.score == "wanda") {
    if (!context.run_calibration) fail(ErrorKind::kInput, "prune: score wanda needs calibration texts");
    report.details.set("calibration", context.calibration_source);
    if (context.note) context.note("calibration: " + context.calibration_source);
    measure_inputs(input, context.run_calibration, matrices);
  }
  const BlockShape shape = shape_of(params.pattern);
  {
    Progress progress("prune", static_cast<int64_t>(matrices.size()), "matrices");
    std::vector<Block> blocks;
    for (std::size_t m = 0; m < matrices.size(); ++m) {
      check_interrupt();
      if (params.pattern == "2:4") {
        zero_two_of_four(matrices[m]);
      } else {
        append_blocks(matrices[m], static_cast<int32_t>(m), shape, blocks);
        if (params.scope == "layer") {
          zero_lowest(blocks, params.sparsity, shape, matrices);
          blocks.clear();
        }
      }
      progress.advance();
    }
    if (!blocks.empty()) zero_lowest(blocks, params.sparsity, shape, matrices);
  }
  Model model = input;
  int64_t zeros = 0, all = 0;
  for (const Matrix& matrix : matrices) {
    const Tensor& before = input.tensors.at(matrix.name + ".weight");
    const Tensor pruned = Tensor::from_floats(before.shape, matrix.values);
    model.tensors.set(matrix.name + ".weight",
                      before.type == DType::kF32 ? pruned : cast(pruned, before.type, matrix.name));
    zeros += std::count(matrix.values.begin(), matrix.values.end(), 0.0f);
    all += static_cast<int64_t>(matrix.values.size());
  }
  report.details.set("matrices", static_cast<int64_t>(matrices.size()));
  report.details.set("weights", all);
  report.details.set("zeros", zeros);
  report.details.set("sparsity", static_cast<double>(zeros) / static_cast<double>(all));
  report.notes.push_back(
      fmt::format("{:.1f} % of {} weights are zero; they are stored, so that other tools read the folder",
                  100 * static_cast<double>(zeros) / static_cast<double>(all), all));
  check_model(model, false);
  return model;
}

}  // namespace

extern const Method prune_magnitude_method;
const Method prune_magnitude_method = {
    "magnitude",
    "prune",
    "zeros in the place of the weights that matter least",
    "Sets the smallest weights of the encoder's products to zero, in one step and without training. In the "
    "pattern 4x1 "
    "(4 consecutive outputs, 1 input) the runtime skips the zeros. One-shot pruning costs accuracy: look at "
    "`verify` and "
    "`eval` before using the result. Quantize afterwards: zeros stay zero.\n\n"
    "Examples:\n  penjing prune minilm --sparsity 0.5 --out minilm-sparse\n"
    "  penjing prune minilm --method magnitude --pattern 4x1 --sparsity 0.8 --out minilm-sparse\n"
    "  penjing prune minilm --pattern unstructured --score wanda --calibration texts.txt --out minilm-wanda",
    Needs::kCalibrationText,
    list_params<Params>,
    apply};

}  // namespace penjing
