#include <gtest/gtest.h>

#include <numeric>

#include "eval/answers.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

constexpr const char* kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwhere\nis\nthe\ncat\ndog\nhouse\nred\n.\n";

// What a reader would say that looks for the word `house`, with the one before it; "[CLS]" is worth `null`.
class QaTask : public ::testing::Test {
 protected:
  QaTask() : folder_("qa_task") {
    write_bytes(folder_ / "tokenizer/vocab.txt", kVocabulary);
    tokenizer_ = Tokenizer::load(folder_ / "tokenizer");
  }

  TaskModel reader(float null) const {
    TaskModel model;
    model.tokenizer = tokenizer_.get();
    model.max_length = 16;
    const int32_t house = tokenizer_->encode("house").ids[1];
    model.read_windows = [house, null](const std::vector<AnswerWindow>& windows) {
      TaskModel::Rows rows;
      for (const AnswerWindow& window : windows) {
        EXPECT_LE(window.ids.size(), 16u);
        std::vector<float> logits(2 * window.ids.size(), 0.0f);
        logits[0] = logits[1] = null;
        for (std::size_t t = 1; t < window.ids.size(); ++t) {
          if (window.ids[t] != house) continue;
          logits[2 * t + 1] = 3;
          logits[2 * (t - 1)] = 2;
        }
        rows.push_back(std::move(logits));
      }
      return rows;
    };
    return model;
  }

  std::vector<std::pair<std::string, double>> scores(const TaskResult& result) const {
    std::vector<std::size_t> all(result.num_examples);
    std::iota(all.begin(), all.end(), std::size_t{0});
    std::vector<std::pair<std::string, double>> values;
    for (const Metric& metric : result.metrics) values.emplace_back(metric.name, metric.value(all));
    return values;
  }

  TestFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

constexpr const char* kLong = "the dog . the dog . the dog . the dog . the dog . the red house . the dog .";

TEST_F(QaTask, AnswersAreFoundInTheWindowThatHasThem) {
  const std::string context = kLong;
  const auto at = std::to_string(context.find("red"));
  write_bytes(folder_ / "dev.jsonl",
              "{\"question\":\"where is the cat\",\"context\":\"" + context +
                  "\",\"answers\":{\"text\":[\"red house\",\"house\"],\"answer_start\":[" + at + "," +
                  std::to_string(context.find("house")) +
                  "]}}\n"
                  "{\"question\":\"where\",\"context\":\"the cat is the dog . "
                  "house\",\"answers\":{\"text\":[\"cat\"],"
                  "\"answer_start\":[4]}}\n");
  TaskInput input;
  input.data = folder_.path();  // no test split: dev is taken
  const Task* task = find_task("squad");
  ASSERT_NE(task, nullptr);
  EXPECT_STREQ(task->name, "qa");
  const TaskResult result = task->run(reader(100), input);  // 1.1: there is always an answer
  EXPECT_EQ(result.how, "own head, windows of 16 tokens that share 5");
  const auto found = scores(result);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].first, "f1");
  EXPECT_NEAR(found[0].second, 0.5, 1e-12);
  EXPECT_NEAR(found[1].second, 0.5, 1e-12);
  EXPECT_EQ(result.texts, (std::vector<std::string>{"red house", ". house"}));
  write_predictions(folder_ / "said.jsonl", result);
  EXPECT_EQ(read_bytes(folder_ / "said.jsonl"), "{\"answer\":\"red house\"}\n{\"answer\":\". house\"}\n");
  input.limit = 1;
  EXPECT_NEAR(scores(task->run(reader(0), input))[1].second, 1, 1e-12);
  input.answers.max_answer_length = 1;  // "house" alone, or "red" alone: the end's logit is the larger
  input.limit = 2;
  EXPECT_NEAR(scores(task->run(reader(0), input))[0].second, 0.5, 1e-12);
  input.answers.max_length = 17;
  EXPECT_NE(error_of([&] { task->run(reader(0), input); }).find("windows of 17 tokens; the model takes 16"),
            std::string::npos);
}

TEST_F(QaTask, NoAnswerIsOneWhereTheDataHasSuchQuestions) {
  const std::string context = kLong;
  write_bytes(folder_ / "data/dev-v2.0.json",
              "{\"data\":[{\"paragraphs\":[{\"context\":\"" + context +
                  "\",\"qas\":[{\"id\":\"1\",\"question\":\"where is\",\"answers\":[{\"text\":\"red house\","
                  "\"answer_start\":" +
                  std::to_string(context.find("red")) +
                  "}]},{\"id\":\"2\",\"question\":\"where\",\"is_impossible\":true,\"answers\":[]}]}]}]}");
  TaskInput input;
  input.data = folder_ / "data";
  const Task* task = find_task("qa");
  const auto sure = scores(task->run(reader(2.4f), input));  // 4.8 < 5: an answer to both
  ASSERT_EQ(sure.size(), 5u);
  EXPECT_EQ(sure[4].first, "NoAns_f1");
  EXPECT_NEAR(sure[2].second, 1, 1e-12);
  EXPECT_NEAR(sure[4].second, 0, 1e-12);
  const auto unsure = scores(task->run(reader(2.6f), input));  // 5.2 > 5: none
  EXPECT_NEAR(unsure[2].second, 0, 1e-12);
  EXPECT_NEAR(unsure[4].second, 1, 1e-12);
  input.answers.null_threshold = 0.5;
  EXPECT_NEAR(scores(task->run(reader(2.6f), input))[2].second, 1, 1e-12);
}

TEST_F(QaTask, AModelWithoutTheHeadIsRefused) {
  TaskInput input;
  input.data = folder_.path();
  EXPECT_NE(error_of([&] { find_task("qa")->run({}, input); }).find("no question answering head"),
            std::string::npos);
}

}  // namespace
}  // namespace penjing
