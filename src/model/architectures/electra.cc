// ELECTRA (Clark et al. 2020) as Hugging Face stores it: BERT's layers on an embedding that is normalised at
// a width of its own and then projected to the hidden states' (ALBERT's factorisation, Lan et al. 2020, with
// ELECTRA's norm before it). No pooler: the classifier has a layer of its own. The discriminator's head
// (ForPreTraining) is carried along and not computed.
#include "model/architecture_heads.h"
#include "model/architectures.h"
#include "model/post_norm_layers.h"

namespace penjing {

namespace {

// Of the classifier and of the masked-LM head, fixed in the reference implementation, whatever hidden_act
// says.
constexpr Activation kHeadActivation = Activation::kGelu;

void add_heads(Description& d, const Json& config, const TensorMap& tensors) {
  const int64_t hidden = d.hidden_size;
  if (announces(config, "ForTokenClassification")) {
    d.heads.push_back(token_classifier(config, tensors, hidden));
  } else if (tensors.find("classifier.out_proj.weight") != nullptr ||
             announces(config, "ForSequenceClassification")) {
    d.heads.push_back(sequence_classifier(config, tensors, hidden, "classifier.dense", kHeadActivation,
                                          "classifier.out_proj"));
  }
  if (tensors.find("generator_predictions.dense.weight") != nullptr || announces(config, "ForMaskedLM")) {
    d.heads.push_back(masked_lm_head({"generator_predictions.dense", "generator_predictions.LayerNorm",
                                      "generator_lm_head", "generator_lm_head.bias"},
                                     tensors, hidden, d.embedding.width, d.embedding.vocab_size,
                                     kHeadActivation, bert_epsilon(config)));
  }
  add_question_answering(config, tensors, d);
}

Description describe_electra(const Json& config, const TensorMap& tensors) {
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
