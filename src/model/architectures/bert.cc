// BERT (Devlin et al. 2018) as Hugging Face stores it: post-norm, learned positions, token types, tanh
// pooler.
#include "base/error.h"
#include "model/architectures.h"
#include "model/bert_layers.h"

namespace penjing {

namespace {

void add_heads(Description& d, const Json& config, const TensorMap& tensors) {
  const int64_t hidden = d.hidden_size;
  if (tensors.find("pooler.dense.weight") != nullptr) {
    HeadSpec pooler;
    pooler.kind = HeadKind::kPooler;
    pooler.has_dense = true;
    pooler.dense = {"pooler.dense", hidden, hidden, true};
    pooler.activation = Activation::kTanh;
    d.heads.push_back(pooler);
  }
  const bool has_classifier = tensors.find("classifier.weight") != nullptr;
  if (announces(config, "ForTokenClassification")) {
    HeadSpec head;
    head.kind = HeadKind::kTokenClassifier;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  } else if (has_classifier || announces(config, "ForSequenceClassification")) {
    // The classifier reads the pooler's output.
    HeadSpec head;
    head.kind = HeadKind::kSequenceClassifier;
    head.has_dense = true;
    head.dense = {"pooler.dense", hidden, hidden, true};
    head.activation = Activation::kTanh;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  }
  if (tensors.find("cls.predictions.transform.dense.weight") != nullptr || announces(config, "ForMaskedLM") ||
      announces(config, "ForPreTraining")) {
    HeadSpec head;
    head.kind = HeadKind::kMaskedLm;
    head.has_dense = true;
    head.dense = {"cls.predictions.transform.dense", hidden, hidden, true};
    head.activation = config_activation(config, "hidden_act", "gelu");
    head.has_norm = true;
    head.norm = {"cls.predictions.transform.LayerNorm", NormKind::kLayerNorm, hidden, bert_epsilon(config),
                 true};
    head.has_projection = true;
    head.tied_to_word_embeddings = tensors.find("cls.predictions.decoder.weight") == nullptr;
    head.projection = {"cls.predictions.decoder", hidden, d.embedding.vocab_size, true};
    head.projection_bias = "cls.predictions.bias";
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

Description describe_bert(const Json& config, const TensorMap& tensors) {
  check_bert_config(config);
  Description d;
  d.family = "bert";
  add_bert_layers(config, d);
  d.max_positions = config_int(config, "max_position_embeddings", 1, kMaxPositions);
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = config_int(config, "vocab_size", 1, kMaxVocab);
  d.embedding.width = d.hidden_size;
  d.embedding.token_type = "embeddings.token_type_embeddings";
  d.embedding.type_vocab_size = config_int_or(config, "type_vocab_size", 2, 1, kMaxWidth);
  d.embedding.position.name = "embeddings.position_embeddings";
  d.embedding.position.count = d.max_positions;
  d.embedding.norm = {"embeddings.LayerNorm", NormKind::kLayerNorm, d.hidden_size, bert_epsilon(config),
                      true};

  add_heads(d, config, tensors);
  return d;
}

}  // namespace

extern const Architecture bert_architecture;
const Architecture bert_architecture = {
    "bert",
    "bert.",
    {"embeddings", "encoder", "pooler"},
    describe_bert,
    {"encoder.layer.", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"},
    {},
    "Bert"};

}  // namespace penjing
