#include "text/answer_windows.h"

#include <algorithm>

#include "base/error.h"

namespace penjing {

std::vector<AnswerWindow> make_windows(const Tokenizer& tokenizer, std::string_view question,
                                       std::string_view context, const WindowOptions& options) {
  EncodeOptions whole;
  whole.truncation = Truncation::kNone;
  const Encoding encoding = tokenizer.encode_pair(question, context, whole);
  const std::size_t tokens = encoding.ids.size();
  // The template's tokens before and after the context, with the question cut; then the context's.
  std::vector<std::size_t> before, inside, after;
  int64_t question_tokens = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    if (encoding.sequence[t] == 1) {
      inside.push_back(t);
    } else if (encoding.sequence[t] == 0 && ++question_tokens > options.max_question_length) {
      continue;
    } else {
      const bool later = std::any_of(encoding.sequence.begin() + static_cast<std::ptrdiff_t>(t),
                                     encoding.sequence.end(), [](int32_t s) { return s == 1; });
      (later || (inside.empty() && t + 1 < tokens) ? before : after).push_back(t);
    }
  }
  const auto room = options.max_length - static_cast<int64_t>(before.size() + after.size());
  const auto length = static_cast<int64_t>(inside.size());
  if (room <= options.doc_stride && length > room) {
    fail(ErrorKind::kInput,
         "{} tokens a window: {} are left for the context, wanted more than the {} that windows share",
         options.max_length, room, options.doc_stride);
  }
  std::vector<AnswerWindow> windows;
  for (int64_t begin = 0;; begin += room - options.doc_stride) {
    const int64_t end = std::min(begin + room, length);
    AnswerWindow window;
    const auto add = [&](std::size_t t) {
      window.ids.push_back(encoding.ids[t]);
      if (!encoding.type_ids.empty()) window.types.push_back(encoding.type_ids[t]);
    };
    for (const std::size_t t : before) add(t);
    window.first = static_cast<int64_t>(before.size());
    for (int64_t i = begin; i < end; ++i) {
      const std::size_t t = inside[static_cast<std::size_t>(i)];
      add(t);
      window.offsets.push_back(encoding.offsets[t]);
    }
    for (const std::size_t t : after) add(t);
    windows.push_back(std::move(window));
    if (end == length) return windows;
  }
}

std::pair<int64_t, int64_t> locate_answer(const AnswerWindow& window, int64_t begin, int64_t end) {
  const auto& offsets = window.offsets;
  if (offsets.empty() || offsets.front().first > begin || offsets.back().second < end) return {0, 0};
  std::size_t first = 0, last = offsets.size() - 1;
  while (first + 1 < offsets.size() && offsets[first + 1].first <= begin) ++first;
  while (last > 0 && offsets[last - 1].second >= end) --last;
  return {window.first + static_cast<int64_t>(first),
          window.first + static_cast<int64_t>(std::max(first, last))};
}

}  // namespace penjing
