#include <gtest/gtest.h>

#include "data/questions.h"
#include "tests/train/objective_steps.h"
#include "text/answer_windows.h"

namespace penjing::train {
namespace {

constexpr const char* kSquad = R"({"version": "v2.0", "data": [{"title": "t", "paragraphs": [
  {"context": "the big cat sat on a red mat . the dog ran in the house .", "qas": [
    {"id": "1", "question": "cat on", "is_impossible": false, "answers": [{"text": "red mat", "answer_start": 21}]},
    {"id": "2", "question": "dog in", "is_impossible": false, "answers": [{"text": "house", "answer_start": 50}]},
    {"id": "3", "question": "red dog", "is_impossible": true, "answers": [],
     "plausible_answers": [{"text": "cat", "answer_start": 8}]}]}]}]})";

class QaTest : public ::testing::Test {
 protected:
  QaTest() : folder_("qa") {
    testing::write_tiny_folder(folder_ / "model", testing::TinyHead::kSentence);
    write_bytes(folder_ / "data/train-v2.0.json", kSquad);
    write_bytes(folder_ / "data/dev-v2.0.json", kSquad);
  }
  TestFolder folder_;
};

TEST_F(QaTest, BothFormsAreRead) {
  const QuestionData squad = read_questions(find_questions(folder_ / "data", "train"));
  ASSERT_EQ(squad.questions.size(), 3u);
  EXPECT_EQ(squad.contexts.size(), 1u);
  EXPECT_EQ(squad.num_unanswerable, 1u);
  write_bytes(folder_ / "flat/train.jsonl",
              "{\"question\":\"who\",\"context\":\"żółw "
              "sat\",\"answers\":{\"text\":[\"sat\"],\"answer_start\":[5]}}\n"
              "{\"id\":\"b\",\"question\":\"who\",\"context\":\"żółw sat\",\"answers\":[]}\n");
  const QuestionData flat = read_questions(find_questions(folder_ / "flat", "train"));
  EXPECT_EQ(flat.questions[0].answers[0].begin, 5);
  EXPECT_EQ(flat.questions[1].id, "b");
  EXPECT_EQ(flat.num_unanswerable, 1u);
  write_bytes(
      folder_ / "bad.jsonl",
      "{\"question\":\"who\",\"context\":\"a cat\",\"answers\":{\"text\":[\"cat\"],\"answer_start\":[1]}}\n");
  EXPECT_NE(error_of([&] {
              read_questions({folder_ / "bad.jsonl", ""});
            }).find("does not begin at code point 1"),
            std::string::npos);
}

TEST_F(QaTest, WindowsCoverTheContextAndShareTokens) {
  const auto tokenizer = Tokenizer::load(folder_ / "model");
  const std::string context = "the big cat sat on a red mat . the dog ran in the house .";  // 16 tokens
  const WindowOptions options{12, 3, 2};
  const auto windows = make_windows(*tokenizer, "cat on the mat", context, options);
  // [CLS] cat on [SEP] 7 of the context [SEP]: steps of 4.
  ASSERT_EQ(windows.size(), 4u);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    EXPECT_LE(windows[w].ids.size(), 12u);
    EXPECT_EQ(windows[w].first, 4);
    EXPECT_EQ(tokenizer->token(windows[w].ids[2]), "on");
    EXPECT_EQ(tokenizer->token(windows[w].ids.back()), "[SEP]");
    EXPECT_EQ(windows[w].types[3], 0);
    EXPECT_EQ(windows[w].types[4], 1);
    for (std::size_t i = 0; i < windows[w].offsets.size(); ++i) {
      const auto [begin, end] = windows[w].offsets[i];
      EXPECT_EQ(tokenizer->token(windows[w].ids[4 + i]),
                context.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
    }
  }
  EXPECT_EQ(windows[1].offsets.front(), windows[0].offsets[4]);
  EXPECT_EQ(windows[3].offsets.back().second, 57);
  // "red mat" is tokens 6 and 7: only the second window, of tokens 4 to 10, has both.
  EXPECT_EQ(locate_answer(windows[0], 21, 28), (std::pair<int64_t, int64_t>{0, 0}));
  EXPECT_EQ(locate_answer(windows[1], 21, 28), (std::pair<int64_t, int64_t>{6, 7}));
  EXPECT_EQ(locate_answer(windows[2], 21, 28), (std::pair<int64_t, int64_t>{0, 0}));
  EXPECT_NE(error_of([&] {
              make_windows(*tokenizer, "cat", context, {8, 6, 2});
            }).find("are left for the context"),
            std::string::npos);
  EXPECT_EQ(make_windows(*tokenizer, "cat", "a cat", {8, 6, 2}).size(), 1u);
}

TEST_F(QaTest, LossIsTheMeanOfStartAndEnd) {
  ObjectiveRun run(folder_ / "model", "qa", folder_ / "data", Json::object(), "dev", 0, 48);
  ASSERT_EQ(run.objective->num_examples(), 3);
  EXPECT_EQ(run.model.description.find_head(HeadKind::kQuestionAnswering)->projection.out, 2);
  // [CLS] cat on [SEP] the big cat sat on a red mat: the answer is tokens 10 and 11.
  const std::pair<int64_t, int64_t> wanted[] = {{10, 11}, {18, 18}, {0, 0}};
  const at::NoGradGuard no_gradient;
  const ForwardContext context = run.context();
  double sum = 0;
  for (int64_t i = 0; i < 3; ++i) {
    const Sequence& sequence = run.objective->sequences(i)[0];
    RaggedBatch ragged;
    ragged.append(sequence.ids, sequence.types);
    const PackedBatch batch = pack(ragged, {i});
    const at::Tensor p =
        at::log_softmax(run_head(run.model.description, run.network.parameters, HeadKind::kQuestionAnswering,
                                 run.network.encoder->forward(batch, context), batch, {}, context)
                            .to(at::kDouble),
                        0);
    sum -= 0.5 * (p[wanted[i].first][0] + p[wanted[i].second][1]).item<double>();
  }
  EXPECT_NEAR(run.objective->loss(run.network, context, run.first(3), 0).sum.item<double>(), sum, 1e-4);
}

TEST_F(QaTest, LearnsAnswersInWindows) {
  ObjectiveRun run(folder_ / "model", "qa", folder_ / "data", Json::object({{"doc_stride", 4}}), "dev", 0,
                   16);
  EXPECT_NE(run.objective->summary().find("3 questions, 1 without an answer (SQuAD)"), std::string::npos)
      << run.objective->summary();
  EXPECT_GT(run.objective->num_examples(), 3);
  const auto losses = run.descend(run.first(100), 100, 0.3);
  EXPECT_LT(losses.back(), 0.2 * losses.front()) << losses.front() << " " << losses.back();
  const auto scores = run.scores();
  EXPECT_EQ(scores[0].first, "f1");
  EXPECT_NEAR(scores[0].second, 1, 1e-9);
  EXPECT_EQ(scores[4].first, "NoAns_f1");
  EXPECT_NEAR(scores[4].second, 1, 1e-9);
}

}  // namespace
}  // namespace penjing::train
