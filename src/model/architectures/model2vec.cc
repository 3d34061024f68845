// Model2Vec (Tulkens and van Dongen 2024): a table of token embeddings and nothing else; a text is the mean
// of its tokens' rows, which modules.json says. No position, no norm, no block.
#include "base/error.h"
#include "model/architectures.h"

namespace penjing {

namespace {

constexpr const char* kTable = "embeddings.weight";

Description describe_model2vec(const Json& config, const TensorMap& tensors) {
  for (const char* name : {"weights", "mapping"}) {
    if (tensors.find(name) != nullptr)
      fail(ErrorKind::kUnsupported, "tensor {}: a quantized vocabulary is not supported", name);
  }
  const Tensor& table = tensors.at(kTable);
  if (table.shape.size() != 2 || table.shape[0] < 1 || table.shape[0] > kMaxVocab)
    fail(ErrorKind::kFormat, "tensor embeddings: shape {}, wanted [tokens, width]", to_string(table.shape));
  Description d;
  d.family = "model2vec";
  d.hidden_size = config_int_or(config, "hidden_dim", table.shape[1], 1, kMaxWidth);
  // Absent is 512, null no limit, as Model2Vec's own loader has it.
  const Json* most = config.find("max_length");
  d.max_positions =
      most == nullptr ? 512 : config_int_or(config, "max_length", kMaxPositions, 1, kMaxPositions);
  d.embedding.word = "embeddings";
  d.embedding.vocab_size = table.shape[0];
  d.embedding.width = d.hidden_size;
  d.embedding.position.scheme = PositionScheme::kNone;
  d.embedding.has_norm = false;
  return d;
}

}  // namespace

extern const Architecture model2vec_architecture;
const Architecture model2vec_architecture = {
    "model2vec",
    "",
    {"embeddings"},
    describe_model2vec,
    {},
    // Model2Vec's own name first, then Sentence-Transformers'.
    {{"embeddings", "embeddings.weight"}, {"embedding.weight", "embeddings.weight"}}};

}  // namespace penjing
