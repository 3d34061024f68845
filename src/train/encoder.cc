#include "train/encoder.h"

#include "base/error.h"
#include "model/relative_positions.h"
#include "train/architecture_support.h"
#include "train/fake_quant_attention.h"
#include "train/ops/as_runtime.h"
#include "train/recurrent.h"

namespace penjing::train {

namespace {

// Numbers of the random streams: four a block, then the embedding's.
uint32_t attention_site(std::size_t block) {
  return static_cast<uint32_t>(4 * block);
}
uint32_t output_site(std::size_t block) {
  return static_cast<uint32_t>(4 * block + 1);
}
constexpr uint32_t kEmbeddingSite = 0xFFFF0000;

DropoutSite dropout_site(const ForwardContext& context, double probability, uint32_t site) {
  return {context.training ? probability : 0, context.random, site};
}

struct TableRows {
  at::Tensor table, rows;  // an undefined table has none
};

// y + the sum of the tables' rows, as the runtime adds them: those first.
at::Tensor add_tables(const at::Tensor& y, std::initializer_list<TableRows> tables) {
  at::Tensor sum;
  for (const auto& [table, rows] : tables) {
    if (!table.defined()) continue;
    const at::Tensor found = at::embedding(table, rows);
    sum = sum.defined() ? sum + found : found;
  }
  return sum.defined() ? y + sum : y;
}

// A forward in progress.
class Forward {
 public:
  Forward(const Description& description, const Parameters& parameters, const PackedBatch& batch,
          const ForwardContext& context)
      : description_(description),
        parameters_(parameters),
        batch_(batch),
        context_(context),
        exact_(context.quantizer != nullptr && context.quantizer->is_exact() &&
               context.arithmetic->row_type() == at::kFloat) {}

  at::Tensor run() {
    std::vector<at::Tensor> values = {embedding()};
    for (std::size_t b = 0; b < description_.blocks.size(); ++b) {
      const Block& block = description_.blocks[b];
      const at::Tensor& input = values[block.input];
      const at::Tensor residual = block.residual == kNoValue ? at::Tensor() : values[block.residual];
      values.push_back(run_block(block, b, values, input, residual));
      tell(context_, block.name + ".out", block.layer, values.back());
    }
    return values[description_.output];
  }

 private:
  at::Tensor embedding() {
    const EmbeddingSpec& spec = description_.embedding;
    const auto table = [&](const std::string& name) {
      if (name.empty()) return at::Tensor();
      const at::Tensor& weight = parameters_.at(name + ".weight");
      return context_.quantizer != nullptr ? context_.quantizer->table(name, weight) : weight;
    };
    const PositionSpec& position = spec.position;
    const at::Tensor places = position.offset == 0 ? batch_.positions : batch_.positions + position.offset;
    const at::Tensor words = table(spec.word), of_places = table(position.name),
                     of_types = table(spec.token_type);
    at::Tensor rows;
    if (spec.projects_words) {
      rows = at::embedding(words, batch_.ids);
      if (spec.trigram) rows = trigrams(rows, batch_.positions, batch_.offsets);
      rows = linear(parameters_, spec.projection, rows.to(context_.arithmetic->row_type()), -1, context_)
                 .to(at::kFloat);
      rows = add_tables(rows, {{of_types, batch_.types}, {of_places, places}});
    } else {
      rows = (exact_ ? &as_runtime::embed : &embed)(words, batch_.ids, of_places, places, of_types,
                                                    batch_.types);
    }
    // Rows of zeros (special tokens, the unknown one) of a static encoder say nothing and go on so: without
    // positions or a norm nothing else keeps a gradient from them.
    if (description_.blocks.empty() && position.scheme == PositionScheme::kNone && !spec.has_norm)
      rows = rows * rows.detach().ne(0).any(1, true);
    if (spec.has_norm) rows = norm(spec.norm, rows, at::Tensor(), {}, -1);
    rows = rows.to(context_.arithmetic->row_type());
    const DropoutSite site = dropout_site(context_, context_.hidden_dropout, kEmbeddingSite);
    rows = context_.arithmetic->round(dropout_add(rows, at::Tensor(), site, batch_.row_keys), "embeddings");
    if (spec.has_projection && !spec.projects_words)
      rows = linear(parameters_, spec.projection, rows, -1, context_);
    tell(context_, "embeddings.out", -1, rows);
    return rows;
  }

  at::Tensor norm(const NormSpec& spec, const at::Tensor& x, const at::Tensor& residual,
                  const DropoutSite& dropout, int layer) {
    const at::Tensor& scale = parameters_.at(spec.name + ".weight");
    const at::Tensor shift = spec.bias ? parameters_.at(spec.name + ".bias") : at::Tensor();
    const at::Tensor y = context_.arithmetic->round(
        exact_ ? as_runtime::norm(x, residual, scale, shift, spec)
               : dropout_add_norm(x, residual, scale, shift, spec, dropout, batch_.row_keys),
        spec.name);
    tell(context_, spec.name + ".out", layer, y);
    return y;
  }

  at::Tensor run_block(const Block& block, std::size_t index, const std::vector<at::Tensor>& values,
                       const at::Tensor& input, const at::Tensor& residual) {
    if (const auto* alone = std::get_if<NormSpec>(&block.part)) {
      return norm(*alone, input, residual, {}, block.layer);
    }
    const bool pre = block.norm_place == NormPlace::kPre;
    const at::Tensor x = pre ? norm(block.norm, input, at::Tensor(), {}, block.layer) : input;
    at::Tensor y;
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      const int from = attention->query_key_input;
      y = run_attention(*attention, block, index, x, from == kNoValue ? x : values[from]);
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      y = run_feed_forward(*feed_forward, block.layer, x);
    } else if (const auto* recurrent = std::get_if<RecurrentSpec>(&block.part)) {
      y = context_.arithmetic->round(run_recurrent(*recurrent, parameters_, x, batch_, block.layer, context_),
                                     block.name);
    } else {
      const auto& bottleneck = std::get<BottleneckSpec>(block.part);
      y = activated(linear(parameters_, bottleneck.linear, x, block.layer, context_), bottleneck.activation,
                    bottleneck.linear.name);
    }
    const DropoutSite site =
        dropout_site(context_, block.has_dropout ? context_.hidden_dropout : 0, output_site(index));
    if (block.norm_place == NormPlace::kPost) return norm(block.norm, y, residual, site, block.layer);
    return context_.arithmetic->round(dropout_add(y, residual, site, batch_.row_keys), block.name);
  }

  // [heads, longest, longest] of the batch's longest sequence, the same for every layer that has it;
  // undefined without relative positions.
  at::Tensor relative_bias(const AttentionSpec& spec) {
    const PositionSpec& position = spec.position;
    if (position.scheme != PositionScheme::kRelativeBuckets) return {};
    for (const auto& [known, bias] : biases_) {
      if (same_positions(*known, position)) return bias;
    }
    int64_t longest = 0;
    for (int64_t i = 0; i < batch_.num_sequences(); ++i) longest = std::max(longest, batch_.length(i));
    std::vector<int64_t> by_distance;  // from 1 - longest on
    for (int64_t distance = 1 - longest; distance < longest; ++distance)
      by_distance.push_back(relative_bucket(distance, position.num_buckets, position.max_distance));
    at::Tensor buckets = at::empty({longest, longest}, at::kLong);  // [query][key]
    for (int64_t query = 0; query < longest; ++query) {
      std::copy_n(by_distance.begin() + (longest - 1 - query), longest,
                  buckets.data_ptr<int64_t>() + query * longest);
    }
    const at::Tensor& table = parameters_.at(position.name + ".weight");
    const at::Tensor bias = at::embedding(table, buckets.to(table.device())).permute({2, 0, 1}).contiguous();
    biases_.emplace_back(&position, bias);
    return bias;
  }

  at::Tensor run_attention(const AttentionSpec& spec, const Block& block, std::size_t index,
                           const at::Tensor& x, const at::Tensor& query_key) {
    const at::Tensor query = linear(parameters_, spec.query, query_key, block.layer, context_);
    const at::Tensor key = linear(parameters_, spec.key, query_key, block.layer, context_);
    const at::Tensor value = linear(parameters_, spec.value, x, block.layer, context_);
    AttentionScores scores;
    const bool wanted = context_.tap != nullptr && context_.tap->wants_scores(block.layer);
    const DropoutSite site = dropout_site(context_, context_.attention_dropout, attention_site(index));
    const AttentionShape shape = {spec.num_heads, spec.head_dim, spec.scale, spec.window};
    AttentionScores* const seen = wanted ? &scores : nullptr;
    const at::Tensor bias = relative_bias(spec);
    const bool integers = context_.quantizer != nullptr && context_.quantizer->attention_in_integers(spec);
    const at::Tensor mixed = context_.arithmetic->round(
        integers && exact_ && !wanted ? as_runtime::attention(query, key, value, batch_.offsets, shape, bias)
        : integers ? attention_in_integers(query, key, value, batch_.offsets, batch_.samples, shape, bias,
                                           site, seen)
                   : attention(query, key, value, batch_.offsets, batch_.samples, shape, bias, site, seen),
        block.name);
    if (wanted) context_.tap->on_scores(block.layer, scores);
    return linear(parameters_, spec.output, mixed, block.layer, context_);
  }

  at::Tensor run_feed_forward(const FeedForwardSpec& spec, int layer, const at::Tensor& x) {
    at::Tensor inner = linear(parameters_, spec.up, x, layer, context_);
    if (spec.gated) {
      inner = inner *
              activated(linear(parameters_, spec.gate, x, layer, context_), spec.activation, spec.gate.name);
    } else {
      inner = activated(inner, spec.activation, spec.up.name);
    }
    return linear(parameters_, spec.down, inner, layer, context_);
  }

  at::Tensor activated(const at::Tensor& x, Activation activation, const std::string& site) {
    if (activation == Activation::kNone) return x;
    return context_.arithmetic->round(exact_ ? as_runtime::activate(x, activation) : activate(x, activation),
                                      site + ".activation");
  }

  const Description& description_;
  const Parameters& parameters_;
  const PackedBatch& batch_;
  const ForwardContext& context_;
  const bool exact_;
  std::vector<std::pair<const PositionSpec*, at::Tensor>> biases_;
};

}  // namespace

void tell(const ForwardContext& context, std::string_view site, int layer, const at::Tensor& rows) {
  if (context.tap != nullptr && context.tap->wants(site)) context.tap->on(site, layer, rows);
}

at::Tensor linear(const Parameters& parameters, const LinearSpec& spec, const at::Tensor& x, int layer,
                  const ForwardContext& context) {
  tell(context, spec.name + ".in", layer, x);
  at::Tensor input = x, weight = parameters.at(spec.name + ".weight"), y;
  const at::Tensor bias = spec.bias ? parameters.at(spec.name + ".bias") : at::Tensor();
  if (context.quantizer != nullptr) {
    y = context.quantizer->product(spec.name, x, weight, bias);
    if (!y.defined()) {
      input = context.quantizer->input(spec.name, x);
      weight = context.quantizer->weight(spec.name, weight);
    }
  }
  if (!y.defined()) y = context.arithmetic->linear(input, weight, bias, spec.name);
  tell(context, spec.name + ".out", layer, y);
  return y;
}

Encoder::Encoder(const Description& description, const Parameters& parameters)
    : description_(description), parameters_(parameters) {
  require_trainable(description);
}

at::Tensor Encoder::forward(const PackedBatch& batch, const ForwardContext& context) const {
  return Forward(description_, parameters_, batch, context).run();
}

DropoutRates dropout_rates(const Json& config) {
  const auto rate = [&](std::initializer_list<const char*> keys, double fallback) {
    for (const char* key : keys) {
      const Json* value = config.find(key);
      if (value == nullptr || value->is_null()) continue;
      const double p = value->as_double(std::string("config.json: ") + key);
      if (!(p >= 0 && p < 1)) fail(ErrorKind::kFormat, "config.json: {} is {}, wanted 0 <= p < 1", key, p);
      return p;
    }
    return fallback;
  };
  DropoutRates rates;
  rates.hidden = rate({"hidden_dropout_prob", "dropout"}, 0.1);
  rates.attention = rate({"attention_probs_dropout_prob", "attention_dropout"}, 0.1);
  rates.classifier = rate({"classifier_dropout", "seq_classif_dropout"}, rates.hidden);
  return rates;
}

}  // namespace penjing::train
