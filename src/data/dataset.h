#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace penjing {

struct Example {
  std::string text, pair;  // pair: empty when texts stand alone
  std::string label;       // as written: "positive", "3", "4.75"
  std::size_t line = 0;
};

// Labelled texts of one split, and how they were read.
struct Dataset {
  std::filesystem::path file;
  std::vector<Example> examples;
  bool pairs = false;
  std::string reading;  // "text: column sentence; label: column label"
};

// Columns by name, "" = guessed.
struct ColumnNames {
  std::string text, pair, label;
};

// Where a split lies: a file, and for a .json file with an object the member that holds its rows.
struct SplitFile {
  std::filesystem::path path;
  std::string key;
};

// The file of a split: `path` itself when it is a file, else in the folder SPLIT.tsv, .csv, .jsonl, .json,
// .txt, .conll, .seq.in, also with "sts-" before it (validation, valid and val stand for dev), or the member
// SPLIT of the folder's only .json file. kInput with what is there when there is none.
SplitFile find_split(const std::filesystem::path& path, const std::string& split);

// Reads labelled texts from a table (data/table.h). Columns are guessed from their names (text, sentence,
// sentence1 and sentence2, premise and hypothesis, ...; label, category, intent, score, ...) or, without a
// header, from the shapes of CoLA (label second, text fourth), of the STS benchmark (score fifth, texts sixth
// and seventh) and of two columns (the one with fewer distinct values is the label). SPLIT.seq.in has its
// labels in SPLIT.label beside it, a line a text. kInput, naming the columns, when the guess fails.
// An empty label is a kFormat error unless kAllowed (texts with any number of labels).
enum class EmptyLabels { kRefused, kAllowed };
Dataset read_dataset(const SplitFile& file, const ColumnNames& columns = {},
                     EmptyLabels empty_labels = EmptyLabels::kRefused);

// The texts of the examples, and their second texts: none where texts stand alone.
std::vector<std::string> texts_of(const Dataset& data);
std::vector<std::string> pairs_of(const Dataset& data);

// The labels of a text that may have any number of them: a JSON list of strings or numbers (["a","b"]), else
// names with commas between. Each once; none for an empty cell. kFormat, naming the line, for a broken list.
std::vector<std::string> labels_of(const Dataset& data, const Example& example);

// The label as a number; kFormat naming the line.
double score_of(const Dataset& data, const Example& example);

}  // namespace penjing
