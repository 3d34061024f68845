#include "tests/cli/tiny_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"
#include "io/model_folder.h"
#include "model/model.h"

namespace penjing::testing {

namespace {

constexpr int64_t kHidden = 32, kInner = 64, kPositions = 64;

std::string vocabulary() {
  std::string text = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (const char* word : kTinyWords) text += std::string(word) + "\n";
  for (char c = 'b'; c <= 'z'; ++c) text += std::string(1, c) + "\n";
  for (char c = 'a'; c <= 'z'; ++c) text += std::string("##") + c + "\n";
  return text;
}

class Builder {
 public:
  explicit Builder(Model& model) : model_(model) {}
  void add(const std::string& name, Shape shape, double scale, double centre = 0) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (float& v : values)
      v = static_cast<float>(centre + scale * (static_cast<double>(rng_.below(20001)) / 10000 - 1));
    model_.tensors.set(name, Tensor::from_floats(shape, values));
  }
  void add_linear(const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in}, 0.3);
    add(name + ".bias", {out}, 0.1);
  }
  void add_norm(const std::string& name) {
    add(name + ".weight", {kHidden}, 0.1, 1);
    add(name + ".bias", {kHidden}, 0.1);
  }

 private:
  Model& model_;
  Rng rng_{42};
};

const char* architecture(TinyHead head) {
  switch (head) {
    case TinyHead::kClassifier:
      return "BertForSequenceClassification";
    case TinyHead::kTokens:
      return "BertForTokenClassification";
    case TinyHead::kAnswers:
      return "BertForQuestionAnswering";
    case TinyHead::kMasked:
      return "BertForMaskedLM";
    case TinyHead::kSentence:
      break;
  }
  return "BertModel";
}

}  // namespace

void write_tiny_folder(const std::filesystem::path& folder, TinyHead head, int num_layers) {
  const std::string words = vocabulary();
  const int64_t vocab_size = std::count(words.begin(), words.end(), '\n');
  Model model;
  Json architectures = Json::array();
  architectures.push_back(architecture(head));
  model.config = Json::object({{"model_type", "bert"},
                               {"architectures", architectures},
                               {"hidden_size", kHidden},
                               {"num_hidden_layers", num_layers},
                               {"num_attention_heads", 4},
                               {"intermediate_size", kInner},
                               {"hidden_act", "gelu"},
                               {"max_position_embeddings", kPositions},
                               {"type_vocab_size", 2},
                               {"vocab_size", vocab_size},
                               {"pad_token_id", 0},
                               {"layer_norm_eps", 1e-12}});
  Builder builder(model);
  builder.add("embeddings.word_embeddings.weight", {vocab_size, kHidden}, 1);
  builder.add("embeddings.position_embeddings.weight", {kPositions, kHidden}, 0.3);
  builder.add("embeddings.token_type_embeddings.weight", {2, kHidden}, 0.3);
  builder.add_norm("embeddings.LayerNorm");
  for (int layer = 0; layer < num_layers; ++layer) {
    const std::string name = "encoder.layer." + std::to_string(layer) + ".";
    for (const char* part :
         {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"}) {
      builder.add_linear(name + part, kHidden, kHidden);
    }
    builder.add_norm(name + "attention.output.LayerNorm");
    builder.add_linear(name + "intermediate.dense", kInner, kHidden);
    builder.add_linear(name + "output.dense", kHidden, kInner);
    builder.add_norm(name + "output.LayerNorm");
  }
  if (head == TinyHead::kClassifier || head == TinyHead::kTokens) {
    if (head == TinyHead::kClassifier) builder.add_linear("pooler.dense", kHidden, kHidden);
    builder.add_linear("classifier", 3, kHidden);
    model.config.set("id2label", Json::object({{"0", "O"}, {"1", "B-PER"}, {"2", "I-PER"}}));
    model.config.set("label2id", Json::object({{"O", 0}, {"B-PER", 1}, {"I-PER", 2}}));
  }
  if (head == TinyHead::kAnswers) builder.add_linear("qa_outputs", 2, kHidden);
  if (head == TinyHead::kMasked) {
    builder.add_linear("cls.predictions.transform.dense", kHidden, kHidden);
    builder.add_norm("cls.predictions.transform.LayerNorm");
    builder.add("cls.predictions.bias", {vocab_size}, 0.1);
  }
  model.side_files = {{"vocab.txt", words}, {"tokenizer_config.json", "{\"do_lower_case\": true}"}};
  if (head == TinyHead::kSentence) {
    model.side_files.push_back(
        {"modules.json",
         R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},)"
         R"({"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},)"
         R"({"idx":2,"name":"2","path":"2_Normalize","type":"sentence_transformers.models.Normalize"}])"});
    model.side_files.push_back({"1_Pooling/config.json",
                                R"({"word_embedding_dimension":32,"pooling_mode_cls_token":false,)"
                                R"("pooling_mode_mean_tokens":true})"});
  }
  complete_model(model);
  write_model(model, folder);
}

}  // namespace penjing::testing
