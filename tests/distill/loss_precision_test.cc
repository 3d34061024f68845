// Every loss on random batches of ragged sequences, of the sizes of small encoders, in FP32 against the same
// code in FP64 (which loss_reference_test.cc holds against an independent implementation on small shapes).
#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "distill/loss.h"

namespace penjing::distill {
namespace {

constexpr int64_t kHeads = 4;

// The same numbers in both types: drawn in FP32.
at::Tensor random(at::IntArrayRef sizes, uint64_t seed, double scale, at::ScalarType type) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return (scale * at::randn(sizes, generator, at::TensorOptions().dtype(at::kFloat))).to(type);
}

Side side_of(const std::vector<int64_t>& offsets, int64_t width, uint64_t seed, double scale,
             at::ScalarType type, std::vector<at::Tensor>* leaves) {
  const auto leaf = [&](at::IntArrayRef sizes) {
    at::Tensor x = random(sizes, seed++, scale, type);
    if (leaves != nullptr) leaves->push_back(x.requires_grad_());
    return x;
  };
  const auto n = static_cast<int64_t>(offsets.size()) - 1;
  Side side;
  side.logits = leaf({n, 7});
  side.embeddings = leaf({n, width});
  for (int place = 0; place < 2; ++place) {
    LayerOutputs& layer = side.layers.emplace_back();
    layer.num_heads = kHeads;
    layer.rows = leaf({offsets.back(), width});
    layer.query = leaf({offsets.back(), width});
    layer.key = leaf({offsets.back(), width});
    layer.value = leaf({offsets.back(), width});
    for (int64_t i = 0; i < n; ++i) {
      const int64_t length = offsets[i + 1] - offsets[i];
      layer.scores.push_back(leaf({kHeads, length, length}));
    }
  }
  return side;
}

struct Result {
  double value = 0;
  std::vector<at::Tensor> gradients;
};

Result run(const LossKind& kind, const Json& params, uint64_t seed, double scale, at::ScalarType type) {
  Rng rng(seed);
  std::vector<int64_t> offsets = {0, 1};  // a sequence of one token is always there
  std::vector<int64_t> examples = {0};
  for (int64_t i = 1; i < 9; ++i) {
    offsets.push_back(offsets.back() + 1 + static_cast<int64_t>(rng.below(40)));
    examples.push_back(i);
  }
  // Losses that need equal widths get them.
  const int64_t teacher_width = (kind.needs(params) & kEqualWidths) != 0 ? 48 : 64;
  std::vector<at::Tensor> leaves;
  const Side student = side_of(offsets, 48, 1000 * seed, scale, type, &leaves);
  const Side teacher = side_of(offsets, teacher_width, 1000 * seed + 500, scale, type, nullptr);

  train::Parameters parameters;
  LossSetup setup;
  setup.parameters = &parameters;
  setup.prefix = "distill.test.";
  setup.places = {{48, teacher_width}, {48, teacher_width}};
  setup.student_embedding = 48;
  setup.teacher_embedding = teacher_width;
  setup.student_logits = setup.teacher_logits = 7;
  setup.num_examples = 40;
  setup.type = type;
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < 40; ++i) classes.push_back(i % 3);
  setup.example_labels = classes;
  const std::unique_ptr<Loss> loss = kind.make(params, setup);
  const at::Tensor value = loss->value({student, teacher, offsets, examples, {}, {seed, 3}, 0.5, true, true});
  value.backward();
  Result result{value.item<double>(), {}};
  for (const train::Parameters::Entry& entry : parameters) leaves.push_back(entry.tensor);
  for (const at::Tensor& leaf : leaves)
    result.gradients.push_back(leaf.grad().defined() ? leaf.grad().to(at::kDouble)
                                                     : at::zeros(leaf.sizes(), at::kDouble));
  return result;
}

TEST(LossPrecision, SinglePrecisionIsCloseToDouble) {
  for (const LossKind* kind : all_losses()) {
    Json given = Json::object();
    if (std::string(kind->name) == "crd") given.set("negatives", 64);
    const Json params = resolve_loss_params(*kind, given);
    double worst_value = 0, worst_gradient = 0;
    for (const double scale : {0.25, 2.0}) {
      for (uint64_t seed = 1; seed <= 2; ++seed) {
        const Result single = run(*kind, params, seed, scale, at::kFloat);
        const Result wide = run(*kind, params, seed, scale, at::kDouble);
        worst_value = std::max(worst_value, std::abs(single.value - wide.value) / std::abs(wide.value));
        double largest = 0, error = 0;
        for (std::size_t i = 0; i < wide.gradients.size(); ++i) {
          if (wide.gradients[i].numel() == 0) continue;
          largest = std::max(largest, wide.gradients[i].abs().max().item<double>());
          error = std::max(error, (single.gradients[i] - wide.gradients[i]).abs().max().item<double>());
        }
        worst_gradient = std::max(worst_gradient, error / largest);
      }
    }
    EXPECT_LE(worst_value, 1e-5) << kind->name;
    EXPECT_LE(worst_gradient, 1e-5) << kind->name;
    RecordProperty(kind->name, fmt::format("value {:.1e}, gradient {:.1e}", worst_value, worst_gradient));
  }
}

}  // namespace
}  // namespace penjing::distill
