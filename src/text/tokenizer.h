#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/vocabulary.h"

namespace penjing {

class ThreadPool;

enum class Truncation { kNone, kLongestFirst, kOnlyFirst, kOnlySecond };

struct EncodeOptions {
  bool add_special_tokens = true;
  int64_t max_length = 0;  // tokens, special ones included; 0: no limit
  Truncation truncation = Truncation::kLongestFirst;
  bool strict_utf8 = false;  // malformed UTF-8 is an error instead of U+FFFD
  bool ids_only = false;     // much faster; of an Encoding, only ids, type_ids (pairs) and truncated are set
};

struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;  // empty: all 0
  // [begin, end) in code points of the text the token came from; {0, 0} for tokens the template added.
  std::vector<std::pair<int32_t, int32_t>> offsets;
  std::vector<uint8_t> special_mask;  // 1: added by the template
  std::vector<int32_t> sequence;      // 0 or 1: first or second text; -1: added
  std::vector<int32_t> words;         // index of the word within its text; -1: added
  bool truncated = false;
};

struct TemplatePiece;

// A tokenizer.json without its vocabulary, and the vocabulary's tables: what a pack keeps, so that a start
// need not parse the files.
struct StoredTokenizer {
  std::string_view json;
  Vocabulary::Tables vocabulary;
  std::shared_ptr<const void> owner;  // of the two
};

// Text -> ids as the model's own tokenizer files say. Immutable and thread-safe.
class Tokenizer {
 public:
  // tokenizer.json if there is one, else vocab.txt with tokenizer_config.json. Throws kFormat, kUnsupported
  // (naming what we do not have) or kInput (no tokenizer in the folder).
  // With `stored`, made from the folder's files, only tokenizer_config.json is read.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& folder,
                                               const std::optional<StoredTokenizer>& stored = std::nullopt);
  ~Tokenizer();

  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const;
  Encoding encode_pair(std::string_view first, std::string_view second,
                       const EncodeOptions& options = {}) const;
  // The text of `ids`, pieces joined and spaces before punctuation removed (WordPiece's clean-up).
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  int64_t vocab_size() const;                        // ids are below this, added tokens included
  std::string_view token(int32_t id) const;          // throws kInput outside [0, vocab_size)
  int32_t find_token(std::string_view token) const;  // -1 when absent
  bool is_special(int32_t id) const;
  int32_t mask_id() const;  // -1 when the tokenizer has none; likewise below
  int32_t unk_id() const;
  int64_t model_max_length() const;              // from tokenizer_config.json; 0: not said
  const std::string& continuing_prefix() const;  // "##"
  StoredTokenizer stored() const;                // for a pack; valid while the tokenizer is

 private:
  struct State;
  Encoding encode_texts(std::string_view first, const std::string_view* second,
                        const std::vector<TemplatePiece>& pieces, const EncodeOptions& options) const;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  friend struct TokenizerBuilder;
};

// Every text's encoding, found on the threads of the pool.
std::vector<Encoding> encode_all(const Tokenizer& tokenizer, ThreadPool& pool,
                                 std::span<const std::string> texts, const EncodeOptions& options);

}  // namespace penjing
