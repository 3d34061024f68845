#include "io/google_checkpoint.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "io/tensor_bundle.h"

namespace penjing {

namespace {

bool has_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::filesystem::path find_prefix(const std::filesystem::path& folder) {
  for (const char* name : {"bert_model.ckpt", "variables/variables", "variables", "model.ckpt"}) {
    if (has_file(folder / (std::string(name) + ".index"))) return folder / name;
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".index") return folder / entry.path().stem();
  }
  fail(ErrorKind::kInput, "{}: no TensorFlow checkpoint (bert_model.ckpt.index or variables/variables.index)",
       folder.string());
}

struct Target {
  std::string name;  // empty: not ours
  bool transpose = false;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

Target target_of(const std::string& key) {
  std::string name = key;
  if (name.starts_with("module/")) name.erase(0, 7);
  if (name.starts_with("bert/")) name.erase(0, 5);
  const bool ours = name.starts_with("embeddings/") || name.starts_with("encoder/") ||
                    name.starts_with("pooler/") || name.starts_with("cls/");
  if (!ours || name.find("adam_") != std::string::npos || name.find("Momentum") != std::string::npos)
    return {};
  if (name == "cls/predictions/output_bias") return {"cls.predictions.bias", false};
  if (name == "cls/seq_relationship/output_weights") return {"cls.seq_relationship.weight", false};
  if (name == "cls/seq_relationship/output_bias") return {"cls.seq_relationship.bias", false};
  replace_all(name, "layer_", "layer.");
  replace_all(name, "/", ".");
  const auto ends = [&](std::string_view from, std::string_view to) {
    if (!name.ends_with(from)) return false;
    name.replace(name.size() - from.size(), from.size(), to);
    return true;
  };
  if (ends(".gamma", ".weight") || ends(".beta", ".bias")) return {name, false};
  if (ends(".kernel", ".weight")) return {name, true};
  if (name.ends_with("_embeddings")) return {name + ".weight", false};
  return {name, false};
}

Tensor transposed(const Tensor& tensor, const std::string& name) {
  if (tensor.shape.size() != 2 || tensor.type != DType::kF32) {
    fail(ErrorKind::kFormat, "{}: a kernel of {} {}; wanted a matrix of F32", name, name_of(tensor.type),
         to_string(tensor.shape));
  }
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  std::vector<float> row(static_cast<std::size_t>(columns));
  for (int64_t r = 0; r < rows; ++r) {
    read_floats(tensor, r * columns, row, name);
    for (int64_t c = 0; c < columns; ++c)
      values[static_cast<std::size_t>(c * rows + r)] = row[static_cast<std::size_t>(c)];
  }
  return Tensor::from_floats({columns, rows}, values);
}

int64_t size_of(const TensorMap& tensors, const char* name, std::size_t dimension) {
  const Tensor& tensor = tensors.at(name);
  if (tensor.shape.size() != 2)
    fail(ErrorKind::kFormat, "tensor {}: shape {}, wanted a matrix", name, to_string(tensor.shape));
  return tensor.shape[dimension];
}

Json make_config(const TensorMap& tensors, const std::filesystem::path& folder) {
  int64_t layers = 0;
  while (tensors.find(fmt::format("encoder.layer.{}.attention.self.query.weight", layers)) != nullptr)
    ++layers;
  const int64_t hidden = size_of(tensors, "embeddings.word_embeddings.weight", 1);
  Json given = Json::object();
  if (has_file(folder / "bert_config.json")) {
    given = Json::parse(read_text_file(folder / "bert_config.json", 1 << 20),
                        (folder / "bert_config.json").string());
  }
  int64_t heads = std::max<int64_t>(hidden / 64, 1);
  if (const Json* value = given.find("num_attention_heads")) {
    heads = value->as_int("bert_config.json: num_attention_heads");
  } else {
    log_info(
        "the checkpoint does not say how many heads attention has; Google's models have hidden size / 64 = "
        "{}",
        heads);
  }
  const bool masked = tensors.find("cls.predictions.bias") != nullptr,
             next = tensors.find("cls.seq_relationship.weight") != nullptr;
  Json architectures = Json::array();
  architectures.push_back(masked && next ? "BertForPreTraining" : masked ? "BertForMaskedLM" : "BertModel");
  Json config = Json::object(
      {{"architectures", architectures},
       {"model_type", "bert"},
       {"hidden_size", hidden},
       {"num_hidden_layers", layers},
       {"num_attention_heads", heads},
       {"intermediate_size",
        layers > 0 ? size_of(tensors, "encoder.layer.0.intermediate.dense.weight", 0) : 4 * hidden},
       {"vocab_size", size_of(tensors, "embeddings.word_embeddings.weight", 0)},
       {"max_position_embeddings", size_of(tensors, "embeddings.position_embeddings.weight", 0)},
       {"type_vocab_size", size_of(tensors, "embeddings.token_type_embeddings.weight", 0)},
       {"hidden_act", "gelu"},
       {"layer_norm_eps", 1e-12},
       {"hidden_dropout_prob", 0.1},
       {"attention_probs_dropout_prob", 0.1},
       {"initializer_range", 0.02},
       {"pad_token_id", 0},
       {"torch_dtype", "float32"}});
  if (!given.as_object("bert_config.json").empty()) {
    for (const auto& [key, value] : given.as_object("bert_config.json")) config.set(key, value);
  }
  return config;
}

void add_tokenizer_files(const std::filesystem::path& folder, Model& model, std::vector<std::string>& left) {
  for (const char* name : {"vocab.txt", "assets/vocab.txt"}) {
    if (!has_file(folder / name)) continue;
    std::string vocab = read_text_file(folder / name, 64u << 20);
    // A cased vocabulary has pieces with capitals beyond the bracketed special tokens.
    bool cased = false;
    for (std::size_t at = 0; at < vocab.size() && !cased;) {
      const std::size_t end = std::min(vocab.find('\n', at), vocab.size());
      const std::string_view token(vocab.data() + at, end - at);
      cased = !token.starts_with('[') &&
              std::any_of(token.begin(), token.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
      at = end + 1;
    }
    const Json config = Json::object({{"tokenizer_class", "BertTokenizer"},
                                      {"do_lower_case", !cased},
                                      {"model_max_length", model.description.max_positions},
                                      {"unk_token", "[UNK]"},
                                      {"sep_token", "[SEP]"},
                                      {"pad_token", "[PAD]"},
                                      {"cls_token", "[CLS]"},
                                      {"mask_token", "[MASK]"}});
    model.side_files.push_back({"vocab.txt", std::move(vocab)});
    model.side_files.push_back({"tokenizer_config.json", config.dump(2) + "\n"});
    return;
  }
  left.push_back("vocab.txt: not found; the model cannot tokenize without it");
}

}  // namespace

GoogleImport read_google_checkpoint(const std::filesystem::path& folder) {
  const auto prefix = find_prefix(folder);
  TensorBundle bundle = read_tensor_bundle(prefix);
  GoogleImport result;
  for (const std::string& key : bundle.skipped) result.left.push_back(key + ": not an array of numbers");
  TensorMap tensors;
  for (const auto& [key, tensor] : bundle.tensors) {
    const Target target = target_of(key);
    if (target.name.empty()) {
      result.left.push_back(
          fmt::format("{} {}: not part of the model (optimizer or counter)", key, to_string(tensor.shape)));
      continue;
    }
    if (tensors.find(target.name) != nullptr)
      fail(ErrorKind::kFormat, "{}: two tensors become {}", prefix.string(), target.name);
    tensors.set(target.name, target.transpose ? transposed(tensor, key) : tensor);
    result.parameters += tensor.size();
    result.read.push_back(
        fmt::format("{} -> {} {}", key, target.name, to_string(tensors.at(target.name).shape)));
  }
  result.model.config = make_config(tensors, folder);
  result.model.tensors = std::move(tensors);
  complete_model(result.model);
  add_tokenizer_files(folder, result.model, result.left);
  return result;
}

}  // namespace penjing
