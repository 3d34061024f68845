#include "cli/bench_work.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "model/cost.h"

namespace penjing::cli {

namespace {

constexpr int64_t kMaxSequences = 4096;

int64_t parse_count(std::string_view digits, const std::string& shape) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < 1) {
    fail(ErrorKind::kInput,
         "--shapes: \"{}\"; wanted SEQUENCESxTOKENS, for example 1x128 or 32xvar, or lengths: 12+40+7",
         shape);
  }
  return value;
}

Shape parse_shape(const std::string& text, int64_t longest) {
  Shape shape{text, {}};
  if (const auto x = text.find('x'); x == std::string::npos) {
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t plus = std::min(text.find('+', at), text.size());
      shape.lengths.push_back(parse_count(std::string_view(text).substr(at, plus - at), text));
      at = plus + 1;
    }
  } else {
    const int64_t count = parse_count(std::string_view(text).substr(0, x), text);
    if (count > kMaxSequences)
      fail(ErrorKind::kInput, "--shapes: \"{}\": at most {} sequences", text, kMaxSequences);
    const bool mixed = text.substr(x + 1) == "var";
    const int64_t length = mixed ? 0 : parse_count(std::string_view(text).substr(x + 1), text);
    Rng rng(1);
    for (int64_t i = 0; i < count; ++i) {
      const double drawn = mixed ? std::exp(3.2 + 0.7 * rng.normal()) : 0;
      shape.lengths.push_back(mixed ? static_cast<int64_t>(std::clamp(drawn, 5.0, 256.0)) : length);
    }
  }
  for (const int64_t n : shape.lengths) {
    if (n > longest)
      fail(ErrorKind::kInput, "--shapes: \"{}\": the model takes at most {} tokens", text, longest);
  }
  return shape;
}

// A text that has exactly `length` tokens: common words of the model's vocabulary, so that tokenizing is real
// work.
std::string text_of_length(int64_t length, const std::vector<std::string>& words, Rng& rng) {
  std::string text;
  for (int64_t i = 0; i < length; ++i) text += (i > 0 ? " " : "") + words[rng.below(words.size())];
  return text;
}

// Words that the tokenizer keeps whole: common English ones, else those of its vocabulary.
std::vector<std::string> find_whole_words(const Tokenizer& tokenizer) {
  EncodeOptions bare;
  bare.add_special_tokens = false;
  const auto whole = [&](std::string_view word) {
    const Encoding encoding = tokenizer.encode(word, bare);
    return encoding.ids.size() == 1 && encoding.ids[0] != tokenizer.unk_id();
  };
  std::vector<std::string> words;
  for (const char* word :
       {"the",   "tree",  "of",  "a",    "small", "garden", "is",   "in",   "water", "and",
        "light", "grows", "old", "with", "stone", "time",   "from", "hand", "house", "year"}) {
    if (whole(word)) words.emplace_back(word);
  }
  for (int32_t id = 0; words.size() < 8 && id < tokenizer.vocab_size(); ++id) {
    const std::string_view token = tokenizer.token(id);
    const bool letters = !token.empty() &&
                         std::all_of(token.begin(), token.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (letters && whole(token)) words.emplace_back(token);
  }
  return words;
}

}  // namespace

std::vector<Shape> parse_shapes(const std::string& list, int64_t longest) {
  std::vector<Shape> shapes;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    shapes.push_back(parse_shape(list.substr(at, comma - at), longest));
    at = comma + 1;
  }
  return shapes;
}

Work make_work(const std::string& model, const Tokenizer& tokenizer, const Shape& shape) {
  Work work;
  Rng rng(2);
  const auto words = find_whole_words(tokenizer);
  if (words.empty())
    fail(ErrorKind::kUnsupported, "{}: the tokenizer keeps no English word whole to make texts of", model);
  const auto added = static_cast<int64_t>(tokenizer.encode("").ids.size());
  for (const int64_t length : shape.lengths) {
    if (length < added)
      fail(ErrorKind::kInput, "--shapes: {} tokens; the special tokens alone are {}", length, added);
    work.texts.push_back(text_of_length(length - added, words, rng));
    const Encoding encoding = tokenizer.encode(work.texts.back());
    if (static_cast<int64_t>(encoding.ids.size()) != length) {
      fail(ErrorKind::kInternal, "a text of {} tokens was wanted, {} came out", length, encoding.ids.size());
    }
    work.batch.append(encoding.ids, encoding.type_ids);
  }
  return work;
}

double flops_of(const Description& d, std::span<const int64_t> lengths) {
  double flops = 0;
  for (const int64_t length : lengths) {
    for (const PartCost& part : measure_cost(d, length)) {
      if (part.part != "pooler" && part.part != "heads") flops += static_cast<double>(part.flops);
    }
  }
  return flops;
}

}  // namespace penjing::cli
