#pragma once

#include <map>
#include <string>
#include <string_view>

#include "model/model.h"
#include "train/arithmetic.h"
#include "train/ops.h"
#include "train/packed_batch.h"
#include "train/parameters.h"

namespace penjing::train {

// Differentiable activations for who asks: distillation needs no second model class. Sites are those of
// predict/tap.h; attention scores have the site "<block>.self.scores" (AttentionScores), asked for
// separately.
class TensorTap {
 public:
  virtual ~TensorTap() = default;
  virtual bool wants(std::string_view site) = 0;
  virtual void on(std::string_view site, int layer, const at::Tensor& rows) = 0;
  virtual bool wants_scores(int layer) { return (void)layer, false; }
  virtual void on_scores(int layer, const AttentionScores& scores) { (void)layer, (void)scores; }
};

// Site of the sentence embeddings, behind the last of the Sentence-Transformers modules.
inline constexpr std::string_view kSentenceSite = "sentence_embedding.out";

// Quantization-aware training: what a linear layer's input and weight become before the product, an embedding
// table before its rows are taken, and whether an attention block is computed in integers.
class FakeQuantizer {
 public:
  virtual ~FakeQuantizer() = default;
  virtual at::Tensor input(std::string_view module, const at::Tensor& x) = 0;
  virtual at::Tensor weight(std::string_view module, const at::Tensor& w) = 0;
  // The whole product, exact, where it is taken so; undefined: as the fake values of input and weight give
  // it.
  virtual at::Tensor product(std::string_view module, const at::Tensor& x, const at::Tensor& w,
                             const at::Tensor& bias) {
    return (void)module, (void)x, (void)w, (void)bias, at::Tensor();
  }
  virtual at::Tensor table(std::string_view name, const at::Tensor& w) { return (void)name, w; }
  // Whether the forward is the runtime's, bit for bit: what lies between products by its own kernels
  // (ops/as_runtime.h). Then products are exact too.
  virtual bool is_exact() const { return false; }
  virtual bool attention_in_integers(const AttentionSpec& spec) { return (void)spec, false; }
};

struct ForwardContext {
  Arithmetic* arithmetic = nullptr;  // never null in a forward
  bool training = false;             // dropout happens
  double hidden_dropout = 0, attention_dropout = 0, classifier_dropout = 0;
  RandomKey random;
  double progress = 0;  // share of the training's steps that are done
  FakeQuantizer* quantizer = nullptr;
  TensorTap* tap = nullptr;
};

// Dropout probabilities as the config names them (hidden_dropout_prob, attention_probs_dropout_prob,
// classifier_dropout; DistilBERT: dropout, attention_dropout, seq_classif_dropout).
struct DropoutRates {
  double hidden = 0.1, attention = 0.1, classifier = 0.1;
};
DropoutRates dropout_rates(const Json& config);

// Tells the context's tap of rows, where it wants the site.
void tell(const ForwardContext& context, std::string_view site, int layer, const at::Tensor& rows);

// The encoder of a description on parameters that someone else owns; parameters keep their checkpoint names.
// forward: the encoder's output, rows [tokens, hidden_size] of the arithmetic's row type.
class Encoder {
 public:
  Encoder(const Description& description, const Parameters& parameters);
  at::Tensor forward(const PackedBatch& batch, const ForwardContext& context) const;
  const Description& description() const { return description_; }

 private:
  const Description& description_;
  const Parameters& parameters_;
};

// y = x W^T + b of a described layer, with fake quantization, arithmetic and taps.
at::Tensor linear(const Parameters& parameters, const LinearSpec& spec, const at::Tensor& x, int layer,
                  const ForwardContext& context);

// A head on the encoder's output: logits FP32. rows: for kSequenceClassifier and kPooler the first token of
// each sequence is taken; for the others `rows` [n] picks tokens (undefined: all).
at::Tensor run_head(const Description& description, const Parameters& parameters, HeadKind kind,
                    const at::Tensor& hidden, const PackedBatch& batch, const at::Tensor& rows,
                    const ForwardContext& context);

// Sentence embeddings as the model's Sentence-Transformers modules say (mean pooling where it has none), FP32
// [sequences, dim].
at::Tensor embed_sentences(const Model& model, const Parameters& parameters, const at::Tensor& hidden,
                           const PackedBatch& batch, const ForwardContext& context);

}  // namespace penjing::train
