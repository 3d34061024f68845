#pragma once

#include <optional>
#include <vector>

#include "text/tokenizer.h"

namespace penjing::distill {

// How a teacher reads a student's tokens.
struct TokenMap {
  std::vector<int64_t> ids;  // [the student's vocabulary]: the teacher's number of each; empty: the same
  bool pairs = true;         // pairs of texts are put together alike, too
};

// Pieces are matched by their text; what the templates put around a text, mask, padding and the unknown piece
// by their part. So a student whose vocabulary is a part of the teacher's (static tables, trimmed
// vocabularies) has it as teacher, and MPNet teaches who reads BERT's vocabulary. kUnsupported, naming what
// differs, when a piece of the student's is none of the teacher's or texts are prepared in another way.
TokenMap map_tokens(const Tokenizer& student, const Tokenizer& teacher);

}  // namespace penjing::distill
