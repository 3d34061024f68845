#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "augment/split_text.h"
#include "augment/word_table.h"
#include "base/rng.h"
#include "compress/method.h"

namespace penjing::augment {

// Which texts of an example a new row changes; of a text that stands alone always kFirst.
enum class Sides { kFirst, kSecond, kBoth };

// How new texts are made from those that are there.
class Augmenter {
 public:
  virtual ~Augmenter() = default;
  // A new row each, duplicates not counted.
  virtual std::vector<Sides> rows(bool pairs) const = 0;
  // Sees every text of the data once before all else; called for several at a time.
  virtual void survey(std::span<const SplitText>) {}
  virtual bool wants_survey() const { return false; }
  virtual void end_survey() {}
  // Finds what change() will need of these texts; what it found before is forgotten.
  virtual void prepare(std::span<const SplitText>) {}
  // A new text from one that was prepared. Thread-safe; all chance comes from rng.
  virtual std::string change(const SplitText& text, Rng& rng) const = 0;
};

// What a method is made from.
struct AugmentSource {
  const Tokenizer& tokenizer;
  const EmbeddingTable& words;
  Predictor* masked_lm = nullptr;  // for methods that need it
  int64_t max_length = 0;          // tokens it reads
  ThreadPool& pool;
  uint64_t seed = 1;
};

// A way to augment: a file in augment/methods/, a line in augment/methods.def.
struct AugmentMethod {
  const char* name;
  const char* summary;
  bool needs_masked_lm;
  std::vector<ParamInfo> (*params)();
  // Resolved parameters (compress/method.h).
  std::unique_ptr<Augmenter> (*make)(const AugmentSource& source, const Json& params);
};
std::span<const AugmentMethod* const> all_augment_methods();
const AugmentMethod* find_augment_method(std::string_view name);

}  // namespace penjing::augment
