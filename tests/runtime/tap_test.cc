#include "predict/tap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "model/linear.h"
#include "numerics/quantizer.h"
#include "runtime/engine.h"
#include "tests/runtime/reference_forward.h"
#include "tests/runtime/tiny_models.h"

namespace penjing {
namespace {

struct Recorder : Tap {
  struct Record {
    int layer;
    int64_t dim;
    std::vector<float> rows;
  };
  std::map<std::string, Record> records;
  std::vector<std::string> order;
  std::string only;

  bool wants(std::string_view site) override { return only.empty() || site == only; }
  void on(std::string_view site, int layer, const float* rows, int64_t num_rows, int64_t dim) override {
    order.emplace_back(site);
    records[std::string(site)] = {layer, dim, std::vector<float>(rows, rows + num_rows * dim)};
  }
};

Prediction run(const Model& model, const RaggedBatch& batch, OutputKind kind, Tap* tap) {
  return Engine::build(model)
      ->new_session(std::make_shared<ThreadPool>(2))
      ->predict(batch, {.kind = kind, .tap = tap});
}

RaggedBatch some_batch() {
  Rng rng(9);
  return testing::random_batch(rng, 7, 90, 61);
}

TEST(Tap, SitesComeInTheOrderOfTheForwardWithTheirLayers) {
  Recorder tap;
  const RaggedBatch batch = some_batch();
  const Prediction got = run(testing::make_bert_like(1), batch, OutputKind::kPooled, &tap);
  const auto place = [&](const std::string& site) {
    const auto found = std::find(tap.order.begin(), tap.order.end(), site);
    EXPECT_NE(found, tap.order.end()) << site;
    return found - tap.order.begin();
  };
  const char* const sites[] = {"embeddings.LayerNorm.out",
                               "embeddings.out",
                               "encoder.layer.0.attention.query.in",
                               "encoder.layer.0.attention.query.out",
                               "encoder.layer.0.attention.output.in",
                               "encoder.layer.0.attention.output.out",
                               "encoder.layer.0.attention.LayerNorm.out",
                               "encoder.layer.0.attention.out",
                               "encoder.layer.0.ffn.up.out",
                               "encoder.layer.3.attention.out",
                               "pooler.dense.in",
                               "pooler.dense.out"};
  for (std::size_t i = 1; i < std::size(sites); ++i)
    EXPECT_LT(place(sites[i - 1]), place(sites[i])) << sites[i];
  EXPECT_EQ(tap.records["encoder.layer.3.attention.out"].layer, 3);
  EXPECT_EQ(tap.records["embeddings.out"].layer, -1);
  EXPECT_EQ(tap.records["pooler.dense.in"].rows.size(), static_cast<std::size_t>(batch.num_sequences()) * 32);
}

TEST(Tap, TapsDoNotChangeTheResult) {
  for (const Model& model : {testing::make_mixed(2), testing::quantize_tiny(testing::make_mixed(2), false)}) {
    Recorder tap;
    const Prediction with = run(model, some_batch(), OutputKind::kHidden, &tap);
    const Prediction without = run(model, some_batch(), OutputKind::kHidden, nullptr);
    EXPECT_EQ(with.values, without.values);
    EXPECT_EQ(tap.records["final_norm.out"].rows, without.values);
    Recorder one;
    one.only = "local.query.in";
    run(model, some_batch(), OutputKind::kHidden, &one);
    EXPECT_EQ(one.order, std::vector<std::string>{"local.query.in"});
    EXPECT_EQ(one.records["local.query.in"].rows, tap.records["local.query.in"].rows);
  }
}

std::vector<LinearSpec> linears_of(const Model& model) {
  std::vector<LinearSpec> specs;
  if (model.description.embedding.projects_words) specs.push_back(model.description.embedding.projection);
  for (const Block& block : model.description.blocks) {
    if (const auto* a = std::get_if<AttentionSpec>(&block.part)) {
      specs.insert(specs.end(), {a->query, a->key, a->value, a->output});
    } else if (const auto* f = std::get_if<FeedForwardSpec>(&block.part)) {
      specs.insert(specs.end(), {f->up, f->down});
      if (f->gated) specs.push_back(f->gate);
    } else if (const auto* b = std::get_if<BottleneckSpec>(&block.part)) {
      specs.push_back(b->linear);
    }
  }
  return specs;
}

// What .out delivers is W times what .in delivers plus the bias: no activation, no residual.
TEST(Tap, OutputOfEveryLinearIsItsProductWithTheInput) {
  for (const Model& model :
       {testing::make_bert_like(3), testing::make_mixed(3), testing::make_mobilebert(3)}) {
    Recorder tap;
    run(model, some_batch(), OutputKind::kHidden, &tap);
    for (const LinearSpec& spec : linears_of(model)) {
      const Recorder::Record& in = tap.records.at(spec.name + ".in");
      const Recorder::Record& out = tap.records.at(spec.name + ".out");
      ASSERT_EQ(in.dim, spec.in);
      ASSERT_EQ(out.dim, spec.out);
      testing::Matrix x;
      for (std::size_t t = 0; t < in.rows.size(); t += static_cast<std::size_t>(in.dim)) {
        x.emplace_back(in.rows.begin() + t, in.rows.begin() + t + in.dim);
      }
      const testing::Matrix want = reference_linear(model, spec, x, testing::IntegerProducts::kExact);
      double worst = 0;
      for (std::size_t t = 0; t < want.size(); ++t) {
        for (int64_t n = 0; n < spec.out; ++n) {
          worst = std::max(worst, std::abs(want[t][n] - out.rows[t * out.dim + n]));
        }
      }
      EXPECT_LT(worst, 2e-5) << spec.name;
    }
  }
}

// An integer product, recomputed by slow loops over codes from numerics/quantizer.h: equal to the bit.
TEST(Tap, IntegerProductsAreExact) {
  for (const bool symmetric : {false, true}) {
    const Model model = testing::quantize_tiny(testing::make_mixed(4), symmetric);
    Recorder tap;
    run(model, some_batch(), OutputKind::kHidden, &tap);
    int num_integer = 0;
    for (const LinearSpec& spec : linears_of(model)) {
      const Linear linear = resolve_linear(model, spec);
      if (linear.kind != LinearKind::kQuantized) continue;
      ++num_integer;
      const Recorder::Record& in = tap.records.at(spec.name + ".in");
      const Recorder::Record& out = tap.records.at(spec.name + ".out");
      const auto* weight = reinterpret_cast<const int8_t*>(linear.weight.bytes.data());
      const std::vector<float> scale = read_floats(linear.scale, spec.name);
      std::vector<float> bias;
      if (linear.has_bias) bias = read_floats(linear.bias, spec.name);
      const IntegerRange range = symmetric ? kInt8 : kUint8;
      for (std::size_t t = 0; t < in.rows.size() / static_cast<std::size_t>(spec.in); ++t) {
        const float* x = in.rows.data() + t * static_cast<std::size_t>(spec.in);
        const auto [lo, hi] = std::minmax_element(x, x + spec.in);
        const QuantParams params = symmetric
                                       ? symmetric_params(std::max(std::fabs(*lo), std::fabs(*hi)), range)
                                       : affine_params(*lo, *hi, range);
        for (int64_t n = 0; n < spec.out; ++n) {
          int32_t sum = 0;
          for (int64_t k = 0; k < spec.in; ++k) {
            sum += (quantize_value(x[k], params, range) - params.zero_point) * weight[n * spec.in + k];
          }
          float want = static_cast<float>(sum) * (params.scale * scale[static_cast<std::size_t>(n)]);
          if (linear.has_bias) want += bias[static_cast<std::size_t>(n)];
          ASSERT_EQ(want, out.rows[t * static_cast<std::size_t>(spec.out) + static_cast<std::size_t>(n)])
              << spec.name << " token " << t << " output " << n;
        }
      }
    }
    EXPECT_EQ(num_integer, 16);  // all but the low-rank one
  }
}

}  // namespace
}  // namespace penjing
