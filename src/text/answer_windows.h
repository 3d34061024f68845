#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace penjing {

struct WindowOptions {
  int64_t max_length = 384;          // tokens of a window, special ones and the question included
  int64_t doc_stride = 128;          // context tokens that neighbouring windows share
  int64_t max_question_length = 64;  // tokens; a longer question is cut
};

// A question with a part of its context, as a model for question answering reads it.
struct AnswerWindow {
  std::vector<int32_t> ids, types;  // types empty: all 0
  int64_t first = 0;                // token where the context begins
  // Of each context token [begin, end) in code points of the whole context; token first + i.
  std::vector<std::pair<int32_t, int32_t>> offsets;
};

// The windows that cover a context, from its beginning to its end; one without offsets when the context has
// no token. kInput when max_length leaves no room for more than doc_stride context tokens beside the
// question.
std::vector<AnswerWindow> make_windows(const Tokenizer& tokenizer, std::string_view question,
                                       std::string_view context, const WindowOptions& options);

// First and last token of the window that hold code points [begin, end) of the context; {0, 0}, the token
// that stands for "not here", when they are not all in the window.
std::pair<int64_t, int64_t> locate_answer(const AnswerWindow& window, int64_t begin, int64_t end);

}  // namespace penjing
