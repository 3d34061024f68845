// ELECTRA (Clark et al. 2020) as Hugging Face stores it: BERT's layers on an embedding that is normalised at
// a width of its own and then projected to the hidden states' (ALBERT's factorisation, Lan et al. 2020, with
// ELECTRA's norm before it). No pooler: the classifier has a layer of its own. The discriminator's head
// (ForPreTraining) is carried along and not computed.
#include "base/error.h"
#include "model/architectures.h"
#include "model/bert_layers.h"

namespace penjing {

namespace {

// Both fixed in the reference implementation, whatever hidden_act says.
constexpr Activation kHeadActivation = Activation::kGelu;

void add_heads(Description& d, const Json& config, const TensorMap& tensors) {
  const int64_t hidden = d.hidden_size;
  if (announces(config, "ForTokenClassification")) {
    HeadSpec head;
    head.kind = HeadKind::kTokenClassifier;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  } else if (tensors.find("classifier.out_proj.weight") != nullptr ||
             announces(config, "ForSequenceClassification")) {
    HeadSpec head;
    head.kind = HeadKind::kSequenceClassifier;
    head.has_dense = true;
    head.dense = {"classifier.dense", hidden, hidden, true};
    head.activation = kHeadActivation;
    head.has_projection = true;
    head.projection = {"classifier.out_proj", hidden,
                       count_labels(config, tensors, "classifier.out_proj.weight"), true};
    d.heads.push_back(head);
  }
  if (tensors.find("generator_predictions.dense.weight") != nullptr || announces(config, "ForMaskedLM")) {
    const int64_t width = d.embedding.width;
    HeadSpec head;
    head.kind = HeadKind::kMaskedLm;
    head.has_dense = true;
    head.dense = {"generator_predictions.dense", hidden, width, true};
    head.activation = kHeadActivation;
    head.has_norm = true;
    head.norm = {"generator_predictions.LayerNorm", NormKind::kLayerNorm, width, bert_epsilon(config), true};
    head.has_projection = true;
    head.tied_to_word_embeddings = tensors.find("generator_lm_head.weight") == nullptr;
    head.projection = {"generator_lm_head", width, d.embedding.vocab_size, true};
    head.projection_bias = "generator_lm_head.bias";
    d.heads.push_back(head);
  }
  if (tensors.find("qa_outputs.weight") != nullptr || announces(config, "ForQuestionAnswering")) {
    HeadSpec head;
    head.kind = HeadKind::kQuestionAnswering;
    head.has_projection = true;
    head.projection = {"qa_outputs", hidden, 2, true};
    d.heads.push_back(head);
  }
}

Description describe_electra(const Json& config, const TensorMap& tensors) {
  check_bert_config(config);
  Description d;
  d.family = "electra";
  add_bert_layers(config, d);
  const int64_t width = config_int_or(config, "embedding_size", 128, 1, kMaxWidth);
  d.max_positions = config_int(config, "max_position_embeddings", 1, kMaxPositions);
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = config_int(config, "vocab_size", 1, kMaxVocab);
  d.embedding.width = width;
  d.embedding.token_type = "embeddings.token_type_embeddings";
  d.embedding.type_vocab_size = config_int_or(config, "type_vocab_size", 2, 1, kMaxWidth);
  d.embedding.position.name = "embeddings.position_embeddings";
  d.embedding.position.count = d.max_positions;
  d.embedding.norm = {"embeddings.LayerNorm", NormKind::kLayerNorm, width, bert_epsilon(config), true};
  d.embedding.has_projection = width != d.hidden_size;
  if (d.embedding.has_projection) d.embedding.projection = {"embeddings_project", width, d.hidden_size, true};
  add_heads(d, config, tensors);
  return d;
}

}  // namespace

extern const Architecture electra_architecture;
const Architecture electra_architecture = {
    "electra",
    "electra.",
    {"embeddings", "embeddings_project", "encoder"},
    describe_electra,
    {"encoder.layer.", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"},
    {},
    "Electra"};

}  // namespace penjing
