// BERT (Devlin et al. 2018) as Hugging Face stores it: post-norm, learned positions, token types, tanh
// pooler.
#include "base/error.h"
#include "model/architecture_heads.h"
#include "model/architectures.h"
#include "model/post_norm_layers.h"

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
    d.heads.push_back(token_classifier(config, tensors, hidden));
  } else if (has_classifier || announces(config, "ForSequenceClassification")) {
    // The classifier reads the pooler's output.
    d.heads.push_back(
        sequence_classifier(config, tensors, hidden, "pooler.dense", Activation::kTanh, "classifier"));
  }
  if (tensors.find("cls.predictions.transform.dense.weight") != nullptr || announces(config, "ForMaskedLM") ||
      announces(config, "ForPreTraining")) {
    d.heads.push_back(masked_lm_head(kBertMaskedLm, tensors, hidden, hidden, d.embedding.vocab_size,
                                     config_activation(config, "hidden_act", "gelu"), bert_epsilon(config)));
  }
  add_question_answering(config, tensors, d);
}

Description describe_bert(const Json& config, const TensorMap& tensors) {
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
