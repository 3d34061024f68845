#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "augment/augment.h"
#include "tests/base/test_folder.h"

namespace penjing::augment {

// A tokenizer of a few words with embeddings that can be compared by hand: two coordinates, and a
// third that outweighs them, as frequency does, and is to be taken away.
class SmallWords {
 public:
  SmallWords() {
    std::string text;
    for (const char* token : kTokens) text += std::string(token) + "\n";
    write_bytes(folder_ / "vocab.txt", text);
    write_bytes(folder_ / "tokenizer_config.json", R"({"do_lower_case": true})");
    tokenizer = Tokenizer::load(folder_.path());
    std::vector<float> rows;
    for (const auto& row : kRows) rows.insert(rows.end(), {row[0] + 7, row[1] - 9, row[2] + 3});
    table.name = "words";
    table.rows = static_cast<int64_t>(std::size(kTokens));
    table.width = 3;
    table.weight = Tensor::from_floats({table.rows, 3}, rows);
  }
  int32_t id(const std::string& token) const { return tokenizer->find_token(token); }
  std::vector<int32_t> ids(const std::vector<std::string>& tokens) const {
    std::vector<int32_t> all;
    for (const auto& token : tokens) all.push_back(id(token));
    return all;
  }

  static constexpr const char* kTokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the",    "film",
                                            "was",   "great", "good",  "bad",   "un",     "##real", "cat",
                                            ",",     "##s",   "7",     "dog",   "!"};
  // [PAD] and ##s make the means of their kinds 0, [SEP] and [MASK] the correlation of the third coordinate
  // with the others.
  static constexpr float kRows[][3] = {
      {-21.2f, -18.9f, 0}, {0, 0, 900},  {0, 0, -900}, {2, 2.2f, 50},  {1, 1, -50}, {-1, 1, 0}, {3, -1, 0},
      {-1, 0.5f, 0},       {0.2f, 2, 0}, {2, 1, 0},    {-1, -1, 0},    {1, 0, 0},   {0, 1, 70}, {1, 1, 50},
      {5, 5, 0},           {0, -1, -70}, {6, 6, 0},    {2, 2.2f, -50}, {1, -1, 0}};

  std::shared_ptr<const Tokenizer> tokenizer;
  EmbeddingTable table;

 private:
  TestFolder folder_{"augment-words"};
};

// A masked language model that likes the pieces of a list best, the first most, whatever the text is; it
// notes what it was asked.
class FixedMaskedLm final : public Predictor {
 public:
  FixedMaskedLm(int64_t vocab, std::vector<int32_t> best) : vocab_(vocab), best_(std::move(best)) {}
  bool supports(OutputKind kind) const override { return kind == OutputKind::kMaskedLogits; }
  int64_t vocab_size() const override { return vocab_; }
  int64_t max_length() const override { return 64; }
  Prediction predict(const RaggedBatch& batch, const Request& request) override {
    Prediction result;
    result.kind = request.kind;
    result.num_rows = static_cast<int64_t>(request.positions.size());
    result.dim = vocab_;
    for (std::size_t row = 0; row < request.positions.size(); ++row) {
      asked.push_back({batch.ids.begin() + batch.offsets[row], batch.ids.begin() + batch.offsets[row + 1]});
      masked_ids.push_back(batch.ids[static_cast<std::size_t>(request.positions[row])]);
      std::vector<float> logits(static_cast<std::size_t>(vocab_), -9.0f);
      for (std::size_t i = 0; i < best_.size(); ++i)
        logits[static_cast<std::size_t>(best_[i])] = -static_cast<float>(i);
      result.values.insert(result.values.end(), logits.begin(), logits.end());
    }
    return result;
  }
  std::vector<std::vector<int32_t>> asked;
  std::vector<int32_t> masked_ids;

 private:
  int64_t vocab_;
  std::vector<int32_t> best_;
};

inline Dataset dataset_of(const std::vector<std::string>& texts, const std::vector<std::string>& pairs = {}) {
  Dataset data;
  data.pairs = !pairs.empty();
  for (std::size_t i = 0; i < texts.size(); ++i)
    data.examples.push_back({texts[i], data.pairs ? pairs[i] : "", std::to_string(i), i + 1});
  return data;
}

inline std::vector<std::string> rows_of(const Dataset& data, const Tokenizer& tokenizer, Augmenter& augmenter,
                                        int threads = 1, uint64_t seed = 1) {
  ThreadPool pool(threads);
  std::vector<std::string> rows;
  augment(data, tokenizer, augmenter, pool, seed, [&](const Example& row) {
    rows.push_back(row.text + (data.pairs ? "|" + row.pair : "") + "|" + row.label);
  });
  return rows;
}

inline Json resolved(const AugmentMethod& method, std::initializer_list<Json::Member> given) {
  return resolve_params(method.name, method.params(), Json::object(given));
}

}  // namespace penjing::augment
