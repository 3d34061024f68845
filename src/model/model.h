#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "model/description.h"
#include "model/tensor.h"

namespace penjing {

// What Sentence-Transformers puts after the encoder, from modules.json.
enum class PoolingMode { kCls, kMean, kMax, kMeanSqrtLen, kWeightedMean, kLastToken };
struct PoolingSpec {
  std::vector<PoolingMode> modes;  // several are concatenated in the order of Sentence-Transformers
  bool include_prompt = true;
};
struct SentenceModule {
  enum class Kind { kPooling, kDense, kNormalize } kind = Kind::kPooling;
  PoolingSpec pooling;
  LinearSpec dense;  // its tensors are in Model::tensors as "<folder>.linear.weight" / ".bias"
  Activation activation = Activation::kNone;
};
struct SentenceSpec {
  std::vector<SentenceModule> modules;  // empty: not a sentence model (pooling must then be asked for)
  int64_t max_seq_length = 0;           // 0: the tokenizer's own, capped by the positions
  std::vector<std::pair<std::string, std::string>> prompts;
  std::string default_prompt;
};

// A file of the model folder that Penjing does not interpret or only reads in part (tokenizer files, README,
// modules.json): carried through unchanged, relative path and content.
struct SideFile {
  std::string path;
  std::string content;
  std::shared_ptr<const MappedFile> file = nullptr;  // where the content is instead, of a large file
  std::string_view text() const;
};

// A model in memory: everything its folder says. Tensors are views into mapped files until changed.
struct Model {
  std::filesystem::path folder;  // where it was read from; empty when made in memory
  Json config;                   // config.json, unknown keys kept
  TensorMap tensors;             // names as in the checkpoint, made canonical by canonicalize()
  Description description;       // from describe(config, tensors)
  SentenceSpec sentence;
  std::vector<SideFile> side_files;
  std::vector<std::string> id2label;  // class names in order, empty when the config has none
};

// config.json's model_type -> Description through architectures.def. Throws kUnsupported with the list of
// families that are supported; kFormat for a value out of range (named with the value wanted). Per-layer
// widths come from compression_config.layers[i] (0 = the part is absent); pruned_heads is honoured.
Description describe(const Json& config, const TensorMap& tensors);

// Writes compression_config.attention = "int8" and describes the model anew: attention with 8-bit products in
// the layers whose Q, K and V are integer products.
void use_integer_attention(Model& model);
void use_float_attention(Model& model);  // removes it

// Renames tensors to the canonical form of the description: strips "bert." / "distilbert." / "module.",
// LayerNorm.gamma/beta -> weight/bias. Unknown tensors keep their names. A collision is a kFormat error.
TensorMap canonicalize(const TensorMap& tensors, const Json& config);

// Canonical names -> the names under which the model's own class in transformers stores them: an encoder with
// a head beside it has its prefix ("bert.encoder.…" beside "cls.…"), an encoder alone has none.
class StoredNames {
 public:
  explicit StoredNames(const Model& model);
  std::string operator()(const std::string& canonical) const;

 private:
  bool in_encoder(std::string_view name) const;
  std::string prefix_;  // empty: none
  std::vector<std::string_view> encoder_modules_;
  std::vector<std::pair<std::string_view, std::string_view>> renamed_;
};

// Structural check of all tensors that the description needs: present, shape, computable type. With
// `values`, also finite (names tensor and index). Throws kFormat.
void check_model(const Model& model, bool values);

// Its embedding is the logits of its classes: the last of its sentence modules is a dense layer without
// activation that has as many outputs as config.json names classes (what `penjing probe` writes).
bool is_sentence_classifier(const Model& model);

// canonicalize + describe + check_model(values = false) + id2label: what the readers in io/ call last.
void complete_model(Model& model);

}  // namespace penjing
