#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace penjing {

// Texts that belong together, for training embeddings: one is asked with, one is right, others are wrong.
struct TextTuple {
  std::string anchor, positive;
  std::vector<std::string> negatives;
  std::size_t line = 0;
};
struct TextTuples {
  std::filesystem::path file;
  std::vector<TextTuple> rows;
  std::size_t num_negatives = 0;  // of each row
  std::string reading;            // "anchor: column query; positive: column answer; negatives: ..."
};

// Reads them from a table (data/table.h). Columns are guessed from their names: anchor, query, question,
// sentence1, text1 or premise; positive, answer, sentence2, text2, document, passage or hypothesis; every
// column whose name begins with "negative" (columns.text and columns.pair name the first two instead).
// Without a header, the first column is the anchor, the second the positive, further ones are negatives.
// kInput, naming the columns, when the guess fails; kFormat for an empty anchor or positive.
TextTuples read_text_tuples(const SplitFile& file, const ColumnNames& columns = {});

}  // namespace penjing
