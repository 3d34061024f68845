#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace penjing {

// Sentences as words, each with a tag ("O", "B-person").
struct TaggedSentence {
  std::vector<std::string> words, tags;
  std::size_t line = 0;  // where it begins
};
struct TaggedData {
  std::filesystem::path file;
  std::vector<TaggedSentence> sentences;
  std::string reading;
};

// Reads them by what the file is:
//   .jsonl, .ndjson   objects with lists "tokens" (or "words") and "tags" (or "ner_tags", "labels") of
//   strings SPLIT.seq.in      words with blanks between, tags likewise in SPLIT.seq.out else CoNLL: a word a
//   line, its tag in the last column, tabs or blanks between; an empty line
//                     ends a sentence; -DOCSTART- lines are left out; a language code that stands before
//                     every word ("en:Paris") is dropped
// kFormat, naming file and line, for a row without a tag or lists of unequal length.
TaggedData read_tagged(const SplitFile& file);

}  // namespace penjing
