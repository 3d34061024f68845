#include "model/architecture_heads.h"

#include "model/architectures.h"

namespace penjing {

HeadSpec token_classifier(const Json& config, const TensorMap& tensors, int64_t hidden) {
  HeadSpec head;
  head.kind = HeadKind::kTokenClassifier;
  head.has_projection = true;
  head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
  return head;
}

HeadSpec sequence_classifier(const Json& config, const TensorMap& tensors, int64_t hidden, const char* dense,
                             Activation activation, const char* projection) {
  HeadSpec head;
  head.kind = HeadKind::kSequenceClassifier;
  head.has_dense = true;
  head.dense = {dense, hidden, hidden, true};
  head.activation = activation;
  head.has_projection = true;
  head.projection = {projection, hidden, count_labels(config, tensors, std::string(projection) + ".weight"),
                     true};
  return head;
}

HeadSpec masked_lm_head(const MaskedLmNames& names, const TensorMap& tensors, int64_t hidden, int64_t width,
                        int64_t vocab_size, Activation activation, float epsilon) {
  HeadSpec head;
  head.kind = HeadKind::kMaskedLm;
  head.has_dense = true;
  head.dense = {names.dense, hidden, width, true};
  head.activation = activation;
  head.has_norm = true;
  head.norm = {names.norm, NormKind::kLayerNorm, width, epsilon, true};
  head.has_projection = true;
  head.tied_to_word_embeddings = tensors.find(std::string(names.projection) + ".weight") == nullptr;
  head.projection = {names.projection, width, vocab_size, true};
  head.projection_bias = names.bias;
  return head;
}

void add_question_answering(const Json& config, const TensorMap& tensors, Description& d) {
  if (tensors.find("qa_outputs.weight") == nullptr && !announces(config, "ForQuestionAnswering")) return;
  HeadSpec head;
  head.kind = HeadKind::kQuestionAnswering;
  head.has_projection = true;
  head.projection = {"qa_outputs", d.hidden_size, 2, true};
  d.heads.push_back(head);
}

}  // namespace penjing
