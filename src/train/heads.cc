#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "train/head_parts.h"
#include "train/recurrent.h"
#include "train/split_sequences.h"

namespace penjing::train {

namespace {

constexpr uint32_t kHeadSite = 0xFFFF0100;  // + HeadKind

class PlainFloat final : public Arithmetic {
 public:
  std::string name() const override { return "fp32"; }
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    std::string_view) override {
    return at::linear(x, weight, bias);
  }
};

// Row keys of the first tokens, for dropout between the pooled rows and the classifier.
at::Tensor keys_of(const PackedBatch& batch, const at::Tensor& rows) {
  return rows.defined() ? batch.row_keys.index_select(0, rows) : batch.row_keys;
}

// Tokens of sequence s that the pooling leaves out: its prompt, where the model says so. Then as in the
// runtime (runtime/pooling.h): weights count from the start of the sequence, and what has no token left is 0.
int64_t skipped(const PackedBatch& batch, int64_t s, bool skip_prompts) {
  return skip_prompts && !batch.prompts.empty() ? std::min(batch.prompts[s], batch.length(s)) : 0;
}

// Weighted sums over the tokens of each sequence, in their order: [sequences, width].
at::Tensor averages(const at::Tensor& rows, const PackedBatch& batch, PoolingMode mode, bool skip_prompts) {
  at::Tensor weights = at::zeros({batch.num_tokens(), 1}, at::kFloat);
  at::Tensor owners = at::empty({batch.num_tokens()}, at::kLong);
  for (int64_t s = 0; s < batch.num_sequences(); ++s) {
    const int64_t skip = skipped(batch, s, skip_prompts), end = batch.length(s);
    const auto length = static_cast<double>(end - skip);
    const auto places = static_cast<double>(end * (end + 1) / 2 - skip * (skip + 1) / 2);
    float* weight = weights.data_ptr<float>() + batch.offsets[s];
    std::fill_n(owners.data_ptr<int64_t>() + batch.offsets[s], end, s);
    for (int64_t i = skip; i < end; ++i) {
      double w = 1 / length;
      if (mode == PoolingMode::kMeanSqrtLen) w = 1 / std::sqrt(length);
      if (mode == PoolingMode::kWeightedMean) w = static_cast<double>(i + 1) / places;
      weight[i] = static_cast<float>(w);
    }
  }
  return at::zeros({batch.num_sequences(), rows.size(1)}, rows.options())
      .index_add(0, owners.to(rows.device()), rows * weights.to(rows.device()));
}

at::Tensor pool(PoolingMode mode, const at::Tensor& rows, const PackedBatch& batch, bool skip_prompts) {
  switch (mode) {
    case PoolingMode::kCls:
      return rows.index_select(0, batch.first_tokens());
    case PoolingMode::kLastToken:
      return rows.index_select(
          0, (at::tensor(at::ArrayRef<int64_t>(batch.offsets).slice(1), at::kLong) - 1).to(rows.device()));
    case PoolingMode::kMax: {
      const std::vector<at::Tensor> sequences = split_sequences(rows, batch.offsets);
      std::vector<at::Tensor> largest;
      for (int64_t s = 0; s < batch.num_sequences(); ++s) {
        const int64_t skip = skipped(batch, s, skip_prompts);
        largest.push_back(skip == batch.length(s) ? at::zeros({rows.size(1)}, rows.options())
                                                  : sequences[s].slice(0, skip).amax(0));
      }
      return at::stack(largest);
    }
    case PoolingMode::kMean:
    case PoolingMode::kMeanSqrtLen:
    case PoolingMode::kWeightedMean:
      return averages(rows, batch, mode, skip_prompts);
  }
  fail(ErrorKind::kInternal, "pooling mode {}", static_cast<int>(mode));
}

}  // namespace

at::Tensor head_features(const Parameters& parameters, const HeadSpec& head, const at::Tensor& picked,
                         const at::Tensor& row_keys, const ForwardContext& context) {
  at::Tensor x = picked;
  if (head.has_dense) {
    x = linear(parameters, head.dense, x, -1, context);
    if (head.activation != Activation::kNone) {
      x = context.arithmetic->round(activate(x, head.activation), head.dense.name + ".activation");
    }
  }
  if (head.has_norm) {
    x = context.arithmetic->round(
        dropout_add_norm(x, at::Tensor(), parameters.at(head.norm.name + ".weight"),
                         parameters.at(head.norm.name + ".bias"), head.norm, {}, row_keys),
        head.norm.name);
  }
  return x;
}

at::Tensor head_scores(const Parameters& parameters, const HeadSpec& head, const at::Tensor& features,
                       const at::Tensor& row_keys, uint32_t site, const ForwardContext& context) {
  at::Tensor x = features;
  if (head.kind == HeadKind::kSequenceClassifier || head.kind == HeadKind::kTokenClassifier) {
    const DropoutSite dropout = {context.training ? context.classifier_dropout : 0, context.random, site};
    x = dropout_add(x, at::Tensor(), dropout, row_keys);
  }
  // A few logits a row decide: they are FP32 sums of FP32 weights even where rows are BF16.
  static PlainFloat plain;
  ForwardContext last = context;
  if (context.arithmetic->row_type() == at::kBFloat16) last.arithmetic = &plain;
  return linear(parameters, head.projection, x.to(last.arithmetic->row_type()), -1, last).to(at::kFloat);
}

at::Tensor run_head(const Description& description, const Parameters& parameters, HeadKind kind,
                    const at::Tensor& hidden, const PackedBatch& batch, const at::Tensor& rows,
                    const ForwardContext& context) {
  const HeadSpec* head = description.find_head(kind);
  if (head == nullptr) fail(ErrorKind::kInput, "the model has no head for this task");
  const bool first = kind == HeadKind::kSequenceClassifier || kind == HeadKind::kPooler;
  const at::Tensor picked = first ? batch.first_tokens() : rows;
  const bool reads_texts = first && head->input != HeadInput::kFirstToken;
  const at::Tensor input = reads_texts        ? read_texts(*head, parameters, hidden, batch, context)
                           : picked.defined() ? hidden.index_select(0, picked)
                                              : hidden;
  const at::Tensor keys = keys_of(batch, picked);
  const at::Tensor x = head_features(parameters, *head, input, keys, context);
  if (!head->has_projection) return x.to(at::kFloat);
  if (kind == HeadKind::kMaskedLm) {
    const LinearSpec& projection = head->projection;
    at::Tensor weight = parameters.at(projection_rows(description, *head) + ".weight");
    if (!head->projection_rest.empty())
      weight = at::cat({weight, parameters.at(head->projection_rest).t()}, 1);
    const std::string bias =
        head->projection_bias.empty() ? projection.name + ".bias" : head->projection_bias;
    const at::Tensor logits =
        context.arithmetic->linear(x, weight, parameters.get_or_undefined(bias), projection.name);
    tell(context, projection.name + ".out", -1, logits);
    return logits.to(at::kFloat);
  }
  return head_scores(parameters, *head, x, keys, kHeadSite + static_cast<uint32_t>(kind), context);
}

at::Tensor embed_sentences(const Model& model, const Parameters& parameters, const at::Tensor& hidden,
                           const PackedBatch& batch, const ForwardContext& context) {
  const at::Tensor rows = hidden.to(at::kFloat);
  const std::vector<SentenceModule>& modules = model.sentence.modules;
  at::Tensor x = modules.empty() ? pool(PoolingMode::kMean, rows, batch, false) : at::Tensor();
  static PlainFloat plain;
  ForwardContext last = context;
  last.arithmetic = &plain;
  for (const SentenceModule& module : modules) {
    switch (module.kind) {
      case SentenceModule::Kind::kPooling: {
        std::vector<at::Tensor> parts;
        for (const PoolingMode mode : module.pooling.modes)
          parts.push_back(pool(mode, rows, batch, !module.pooling.include_prompt));
        x = at::cat(parts, 1);
        break;
      }
      case SentenceModule::Kind::kDense:
        x = activate(linear(parameters, module.dense, x, -1, last), module.activation);
        break;
      case SentenceModule::Kind::kNormalize:
        x = x / x.norm(2, {1}, true).clamp_min(1e-12);
        break;
    }
  }
  tell(context, kSentenceSite, -1, x);
  return x;
}

}  // namespace penjing::train
