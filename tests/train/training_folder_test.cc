// What a run is resumed with, and who may train in a folder.
#include "train/training_folder.h"

#include <gtest/gtest.h>

#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "train/finetune.h"

namespace penjing::train {
namespace {

struct Case {
  const char* task;
  const char* file;           // of the training data
  std::string before, after;  // the same tokens with other targets
  Json params = Json::object();
};

std::string squad_line(int begin) {
  return "{\"question\":\"cat on\",\"context\":\"red mat . red mat\",\"answers\":{\"text\":[\"red\"],"
         "\"answer_start\":[" +
         std::to_string(begin) + "]}}\n";
}

std::vector<Case> cases() {
  const std::string rows = "text\tlabel\nthe cat sat\tx\na dog ran\ty\nthe mat\tx\n";
  const std::string scores = "sentence1\tsentence2\tscore\nthe cat\ta dog\t1\nthe mat\ta house\t";
  return {{"classification", "train.tsv", rows + "red\ty\n", rows + "red\tx\n"},
          {"regression", "train.tsv", scores + "0.25\n", scores + "0.5\n"},
          {"similarity", "train.tsv", scores + "0.25\n", scores + "0.5\n"},
          {"multi-label", "train.tsv", "text\tlabels\nthe cat\tx,y\na dog\tx\n",
           "text\tlabels\nthe cat\ty\na dog\tx\n"},
          {"few-shot", "train.tsv", rows + "red\ty\n", rows + "red\tx\n", Json::object({{"iterations", 1}})},
          {"tokens", "train.conll", "the O\ncat B-x\n\na O\ndog B-y\n", "the O\ncat B-y\n\na O\ndog B-x\n"},
          {"qa", "train.jsonl", squad_line(0), squad_line(10)},
          // One anchor with two right answers, or two anchors of the same tokens: negatives of each other.
          {"pairs", "train.tsv", "anchor\tpositive\nthe cat\ta dog\nthe cat\ta house\n",
           "anchor\tpositive\nthe cat\ta dog\nthe  cat\ta house\n"}};
}

class FinetuneFolder : public ::testing::Test {
 protected:
  FinetuneFolder() : folder_("finetune_folder") {
    testing::write_tiny_folder(folder_ / "model", testing::TinyHead::kSentence);
  }
  FinetuneSettings settings(const Case& of) const {
    FinetuneSettings s;
    s.model = (folder_ / "model").string();
    s.task = of.task;
    s.data.data = folder_ / "data";
    s.eval_split.clear();
    s.max_length = 32;
    s.params = of.params;
    s.out = folder_ / "out";
    s.loop.max_steps = 3;
    s.loop.save_steps = 1;
    s.loop.batches.batch_size = 2;
    s.threads = 1;
    return s;
  }
  static void run(const FinetuneSettings& s) {
    finetune(s, [](const std::string&) {});
  }
  TestFolder folder_;
};

TEST_F(FinetuneFolder, ARunIsResumedWithTheSameTargetsOnly) {
  for (const Case& of : cases()) {
    SCOPED_TRACE(of.task);
    for (const char* part : {"data", "out", "out.training"}) std::filesystem::remove_all(folder_ / part);
    write_bytes(folder_ / "data" / of.file, of.before);
    FinetuneSettings s = settings(of);
    ASSERT_EQ(error_of([&] { run(s); }), "");
    std::filesystem::remove_all(folder_ / "out");
    s.resume = true;
    ASSERT_EQ(error_of([&] { run(s); }), "");  // the same data
    std::filesystem::remove_all(folder_ / "out");
    write_bytes(folder_ / "data" / of.file, of.after);
    const std::string error = error_of([&] { run(s); });
    EXPECT_NE(error.find("targets_sha256"), std::string::npos) << error;
    if (std::string(of.task) != "few-shot") {  // whose pairs are drawn from the classes
      EXPECT_EQ(error.find("tokens_sha256"), std::string::npos) << error;
    }
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
  }
}

TEST_F(FinetuneFolder, OneProcessTrainsInIt) {
  const Case of = cases()[0];
  write_bytes(folder_ / "data" / of.file, of.before);
  FinetuneSettings s = settings(of);
  {
    const FolderLock other = enter_training_folder(s.out, false);
    const std::string error = error_of([&] { run(s); });
    EXPECT_NE(error.find("out.training: another process trains here"), std::string::npos) << error;
    s.resume = true;
    EXPECT_NE(error_of([&] { run(s); }), "");
    s.resume = false;
  }
  EXPECT_EQ(error_of([&] { run(s); }), "");
  EXPECT_NE(error_of([&] { run(s); }).find("is there already"), std::string::npos);
}

}  // namespace
}  // namespace penjing::train
