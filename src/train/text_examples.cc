#include "train/text_examples.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/thread_pool.h"
#include "text/prompt_tokens.h"

namespace penjing::train {

TextExamples::TextExamples(const Tokenizer& tokenizer, ThreadPool& pool, std::span<const std::string> texts,
                           std::span<const std::string> pairs, int64_t max_length,
                           std::span<const std::string> prompts) {
  EncodeOptions how;
  how.max_length = max_length;
  how.ids_only = true;
  std::vector<Encoding> encodings;
  if (!pairs.empty()) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      encodings.push_back(tokenizer.encode_pair(texts[i], pairs[i], how));
    }
  } else if (prompts.empty()) {
    encodings = encode_all(tokenizer, pool, texts, how);
  } else {
    std::vector<std::string> whole;
    for (std::size_t i = 0; i < texts.size(); ++i)
      whole.push_back(prompts[prompts.size() == 1 ? 0 : i] + texts[i]);
    encodings = encode_all(tokenizer, pool, whole, how);
  }
  std::map<std::string, int64_t> prompt_lengths;
  for (const std::string& prompt : prompts) {
    const auto [length, added] = prompt_lengths.emplace(prompt, 0);
    if (added) length->second = count_prompt_tokens(tokenizer, prompt);
  }
  sequences_.reserve(encodings.size());
  for (std::size_t i = 0; i < encodings.size(); ++i) {
    truncated_ += encodings[i].truncated ? 1 : 0;
    Sequence& sequence = sequences_.emplace_back();
    sequence.ids = std::move(encodings[i].ids);
    sequence.types = std::move(encodings[i].type_ids);
    if (!prompts.empty()) sequence.prompt = prompt_lengths.at(prompts[prompts.size() == 1 ? 0 : i]);
  }
}

std::string describe_lengths(std::span<const Sequence> sequences, int64_t num_truncated, int64_t max_length) {
  std::vector<double> lengths;
  for (const Sequence& sequence : sequences) lengths.push_back(static_cast<double>(sequence.ids.size()));
  if (lengths.empty()) return "no texts";
  std::string text = fmt::format("tokens a text: 5 % {:.0f}, half {:.0f}, 95 % {:.0f}, longest {:.0f}",
                                 quantile(lengths, 0.05), quantile(lengths, 0.5), quantile(lengths, 0.95),
                                 quantile(lengths, 1));
  if (num_truncated > 0) text += fmt::format("; {} cut at {}", num_truncated, max_length);
  return text;
}

PackedBatch pack(std::span<const Sequence* const> sequences, std::vector<int64_t> samples,
                 at::Device device) {
  RaggedBatch batch;
  bool prompted = false;
  for (const Sequence* sequence : sequences) {
    batch.append(sequence->ids, sequence->types);
    prompted = prompted || sequence->prompt > 0;
  }
  PackedBatch packed = pack(batch, std::move(samples), device);
  if (prompted) {
    for (const Sequence* sequence : sequences) packed.prompts.push_back(sequence->prompt);
  }
  return packed;
}

}  // namespace penjing::train
