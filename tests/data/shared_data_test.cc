// The readers on real data sets as they are published, in $PENJING_DATA (default ../shared/data); numbers of
// rows are those of each set's own page.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "data/dataset.h"
#include "data/tagged.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;

fs::path data_folder() {
  const char* given = std::getenv("PENJING_DATA");
  return given != nullptr ? fs::path(given) : fs::path(PENJING_SOURCE_DIR) / "../shared/data";
}

struct Labelled {
  const char* folder;
  const char* split;
  std::size_t rows, labels;  // labels 0: scores, not counted
  bool pairs;
};

TEST(SharedData, LabelledTexts) {
  if (!fs::exists(data_folder())) GTEST_SKIP() << data_folder() << " is not there (PENJING_DATA)";
  for (const Labelled& wanted : {Labelled{"glue-cola", "train", 8551, 2, false},
                                 {"glue-cola", "dev", 1043, 2, false},
                                 {"glue-sst2", "train", 67349, 2, false},
                                 {"glue-sst2", "dev", 872, 2, false},
                                 {"glue-mrpc", "train", 3668, 2, true},
                                 {"glue-mrpc", "dev", 408, 2, true},
                                 {"glue-rte", "train", 2490, 2, true},
                                 {"glue-rte", "dev", 277, 2, true},
                                 {"glue-stsb", "train", 5749, 0, true},
                                 {"glue-stsb", "dev", 1500, 0, true},
                                 {"glue-stsb", "test", 1379, 0, true},
                                 {"banking77", "train", 10003, 77, false},
                                 {"banking77", "test", 3080, 77, false},
                                 {"clinc150", "train", 15000, 150, false},
                                 {"clinc150", "dev", 3000, 150, false},
                                 {"clinc150", "test", 4500, 150, false},
                                 {"snips", "train", 13084, 7, false},
                                 {"snips", "dev", 700, 7, false}}) {
    SCOPED_TRACE(std::string(wanted.folder) + " " + wanted.split);
    const Dataset data = read_dataset(find_split(data_folder() / wanted.folder, wanted.split));
    EXPECT_EQ(data.examples.size(), wanted.rows);
    EXPECT_EQ(data.pairs, wanted.pairs);
    std::set<std::string> labels;
    for (const Example& example : data.examples) {
      labels.insert(example.label);
      EXPECT_FALSE(example.text.empty()) << example.line;
      if (wanted.labels == 0) {
        const double score = score_of(data, example);
        EXPECT_TRUE(score >= 0 && score <= 5) << example.line;
      }
    }
    if (wanted.labels > 0) {
      EXPECT_EQ(labels.size(), wanted.labels);
    }
  }
}

TEST(SharedData, TaggedWords) {
  if (!fs::exists(data_folder())) GTEST_SKIP() << data_folder() << " is not there (PENJING_DATA)";
  struct Wanted {
    SplitFile file;
    std::size_t sentences, words;
  };
  const fs::path wnut = data_folder() / "wnut17";
  // The page of WNUT counts a dev line that holds a byte order mark alone as a word.
  for (const auto& [file, sentences, words] : {Wanted{{wnut / "wnut17train.conll", ""}, 3394, 62730},
                                               {{wnut / "emerging.dev.conll", ""}, 1009, 15733},
                                               {{wnut / "emerging.test.annotated", ""}, 1287, 23394},
                                               {find_split(data_folder() / "snips", "train"), 13084, 0}}) {
    const TaggedData data = read_tagged(file);
    EXPECT_EQ(data.sentences.size(), sentences) << file.path;
    std::size_t count = 0;
    for (const TaggedSentence& sentence : data.sentences) count += sentence.words.size();
    if (words > 0) {
      EXPECT_EQ(count, words) << file.path;
    }
  }
}

}  // namespace
}  // namespace penjing
