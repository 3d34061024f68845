// wordnet: the supersense (one of 26 of nouns, 15 of verbs) of a synset from its definition alone. --data is
// the folder with WordNet's data.noun and data.verb (Debian: wordnet-base). A tenth of the synsets, chosen by
// a hash of part of speech and offset, is the test; the rest is to learn from.
#include <cstdint>

#include "base/error.h"
#include "base/hash.h"
#include "data/text_lines.h"
#include "eval/label_task.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

constexpr uint64_t kTenth = 10;

Dataset read_glosses(const TaskInput& input, bool test) {
  Dataset data;
  data.file = input.data;
  data.reading = "definitions; label: the lexicographer file";
  for (const char* part : {"noun", "verb"}) {
    const auto file = input.data / (std::string("data.") + part);
    TextLines lines(file, TextLines::Content::kRaw);
    std::string line;
    for (std::size_t number = 1; lines.next(line); ++number) {
      if (line.starts_with("  ")) continue;  // the licence
      const std::size_t bar = line.find("| ");
      if (line.size() < 12 || line[8] != ' ' || line[11] != ' ' || bar == std::string::npos)
        fail(ErrorKind::kFormat, "{}: line {}: not a synset of WordNet", file.string(), number);
      if ((fnv1a(part + line.substr(0, 8)) % kTenth == 0) != test) continue;
      std::string gloss = line.substr(bar + 2);
      gloss.erase(std::min(gloss.find(';'), gloss.size()));
      gloss.erase(gloss.find_last_not_of(" \t") + 1);
      if (gloss.empty()) continue;
      data.examples.push_back({gloss, "", line.substr(9, 2), number});
    }
  }
  const std::size_t wanted = input.limit * (test ? 1 : kTenth - 1);
  if (input.limit == 0 || data.examples.size() <= wanted) return data;
  std::vector<Example> spread;  // over both files
  for (std::size_t i = 0; i < wanted; ++i) spread.push_back(data.examples[i * data.examples.size() / wanted]);
  data.examples = std::move(spread);
  return data;
}

TaskResult run(const TaskModel& model, const TaskInput& input) {
  return run_label_task(model, input, read_glosses(input, true), [&] { return read_glosses(input, false); },
                        {{"accuracy", accuracy}, {"f1_macro", macro_f1}});
}

}  // namespace

extern const Task wordnet_task;
const Task wordnet_task = {"wordnet", "", "supersenses of WordNet's definitions: accuracy, macro F1", run};

}  // namespace penjing
