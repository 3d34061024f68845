// BiLSTM (Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks"; ours
// on disk): word piece embeddings, one bidirectional LSTM, and of its last states a dense layer with ReLU and
// the classes. With "siamese" the two texts of a pair pass through it by themselves and the classifier reads
// (h1, h2, |h1 - h2|, h1 * h2), figure 2 of the paper. With "pooling": "attention" it reads not the last
// states but a weighted sum of all (HeadInput::kAttended). Tensors: embeddings.word_embeddings.weight [V, E];
// encoder.forward.input.weight [4 H, E], .bias [4 H], encoder.forward.hidden.weight [4 H, H] and the same of
// encoder.backward, gates in PyTorch's order; pooling.attention [A, 2 H], pooling.score [1, A]; dense,
// classifier.
//
// config.json: embedding_size E, hidden_size H of a direction, dense_size, siamese, pooling ("ends" where
// there is none) and attention_size A, vocab_size, max_position_embeddings (tokens it reads; there are no
// positions).
#include "base/error.h"
#include "model/architectures.h"

namespace penjing {

namespace {

Description describe_bilstm(const Json& config, const TensorMap& tensors) {
  const int64_t width = config_int(config, "embedding_size", 1, kMaxWidth);
  const int64_t size = config_int(config, "hidden_size", 1, kMaxWidth / 4);
  const bool siamese = config_bool_or(config, "siamese", false);
  const std::string pooling = config_string_or(config, "pooling", "ends");
  const bool attends = pooling == "attention";
  if (!attends && pooling != "ends")
    fail(ErrorKind::kFormat, "config.json: pooling \"{}\"; wanted \"ends\" or \"attention\"", pooling);
  Description d;
  d.family = "bilstm";
  d.hidden_size = 2 * size;
  d.num_layers = 1;
  d.max_positions = config_int_or(config, "max_position_embeddings", 512, 1, kMaxPositions);
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = config_int(config, "vocab_size", 1, kMaxVocab);
  d.embedding.width = width;
  d.embedding.position.scheme = PositionScheme::kNone;
  d.embedding.has_norm = false;

  RecurrentSpec recurrent;
  recurrent.forward_input = {"encoder.forward.input", width, 4 * size, true};
  recurrent.forward_hidden = {"encoder.forward.hidden", size, 4 * size, false};
  recurrent.backward_input = {"encoder.backward.input", width, 4 * size, true};
  recurrent.backward_hidden = {"encoder.backward.hidden", size, 4 * size, false};
  recurrent.size = size;
  recurrent.restarts = siamese;
  d.blocks.push_back({"encoder", 0, 0, kNoValue, NormPlace::kNone, {}, recurrent});
  d.output = 1;

  if (announces(config, "ForSequenceClassification")) {
    const int64_t dense = config_int(config, "dense_size", 1, kMaxWidth);
    HeadSpec head;
    head.kind = HeadKind::kSequenceClassifier;
    head.input = attends ? HeadInput::kAttended : HeadInput::kEnds;
    head.compares = siamese;
    if (attends) {
      const int64_t inner = config_int(config, "attention_size", 1, kMaxWidth);
      head.attention = {"pooling.attention", 2 * size, inner, true};
      head.attention_score = {"pooling.score", inner, 1, false};
    }
    head.has_dense = true;
    head.dense = {"dense", (siamese ? 8 : 2) * size, dense, true};
    head.activation = Activation::kRelu;
    head.has_projection = true;
    head.projection = {"classifier", dense, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  }
  return d;
}

}  // namespace

extern const Architecture bilstm_architecture;
const Architecture bilstm_architecture = {"bilstm", "",      {"embeddings", "encoder"}, describe_bilstm, {},
                                          {},       "BiLstm"};

}  // namespace penjing
