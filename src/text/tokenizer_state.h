#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/id_splitter.h"
#include "text/normalizer.h"
#include "text/splitter.h"
#include "text/tokenizer.h"
#include "text/wordpiece.h"

namespace penjing {

// One step of a template: a text, or a fixed token.
struct TemplatePiece {
  int sequence = -1;  // 0 or 1, or -1: `ids`
  int32_t type_id = 0;
  std::vector<int32_t> ids;
};

// Everything the files say. Filled by tokenizer_files.cc, used by tokenizer.cc.
struct Tokenizer::State {
  Vocabulary vocabulary;
  WordPiece model;
  std::string prefix = "##", unk_token = "[UNK]";
  int64_t max_chars = 100;
  BertNormalization normalization;
  std::vector<AddedToken> added;
  std::vector<std::string> extra_tokens;  // added tokens whose ids follow the vocabulary
  std::optional<IdSplitter> ids;          // over the members above
  std::vector<TemplatePiece> single, pair;
  int64_t model_max_length = 0;
  std::string json;  // tokenizer.json without the vocabulary
  int32_t mask_id = -1;
  bool clean_up = true;
};

struct TokenizerBuilder {
  using State = Tokenizer::State;
  static std::unique_ptr<State> from_stored(const StoredTokenizer& stored);
  static std::unique_ptr<State> from_tokenizer_json(const std::filesystem::path& path);
  static std::unique_ptr<State> from_vocab(const std::filesystem::path& vocab, bool lower, bool chinese,
                                           bool strip_accents);

 private:
  // Everything but the vocabulary, which is in `state`.
  static void read_rules(const Json& root, const std::string& file, State& state);
};

}  // namespace penjing
