#include "eval/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/rng.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

class Evaluation : public ::testing::Test {
 protected:
  TestFolder folder_{"evaluation"};
  using Pairs = std::vector<std::pair<std::string, std::string>>;

  void write(const std::string& name, const std::string& header, const Pairs& rows) {
    std::string content = header + "\n";
    for (const auto& [text, label] : rows) content += text + "\t" + label + "\n";
    write_bytes(folder_ / name, content);
  }
  void write_labelled(const std::string& name, const Pairs& rows) { write(name, "text\tlabel", rows); }
  TaskInput input(const std::string& name = "") const {
    TaskInput given;
    given.data = name.empty() ? folder_.path() : folder_ / name;
    return given;
  }
  TaskResult run(const char* task, const TaskModel& model, const TaskInput& given) {
    return find_task(task)->run(model, given);
  }
};

// Embeds a text by its first letter.
TaskModel letter_model() {
  TaskModel model;
  model.embed = [](const std::vector<std::string>& texts) {
    std::vector<std::vector<float>> rows;
    for (const auto& text : texts) {
      const float angle = static_cast<float>(text[0] - 'a') / 10;
      rows.push_back({3 * std::cos(angle), 3 * std::sin(angle)});
    }
    return rows;
  };
  model.embed_queries = model.embed_documents = model.embed;
  return model;
}

const Score& named(const std::vector<Score>& scores, const std::string& name) {
  for (const Score& s : scores) {
    if (s.name == name) return s;
  }
  ADD_FAILURE() << name;
  return scores.front();
}

TEST_F(Evaluation, NearestNeighboursAndLinearProbe) {
  Pairs train;
  for (int i = 0; i < 12; ++i) train.insert(train.end(), {{"a", "low"}, {"j", "high"}});
  write_labelled("train.tsv", train);
  write_labelled("test.tsv", {{"b", "low"}, {"c", "low"}, {"i", "high"}, {"a", "high"}});
  TaskInput given = input();
  for (const Classifier classifier : {Classifier::kNeighbours, Classifier::kLinear}) {
    given.classifier = classifier;
    const TaskResult result = run("classification", letter_model(), given);
    ASSERT_EQ(result.outputs.size(), 4u);
    EXPECT_EQ(result.outputs[0], result.outputs[1]);
    EXPECT_NE(result.outputs[0], result.outputs[2]);
    EXPECT_EQ(result.outputs[0], result.outputs[3]);
    const auto scores = score(result);
    EXPECT_DOUBLE_EQ(named(scores, "accuracy").value, 0.75);
    EXPECT_LE(named(scores, "accuracy").interval.low, 0.75);
    EXPECT_GE(named(scores, "accuracy").interval.high, 0.75);
    EXPECT_NE(result.how.find("24 training texts"), std::string::npos) << result.how;
  }
  EXPECT_NE(error_of([&] { (void)run("classification", letter_model(), input("test.tsv")); }).find("--train"),
            std::string::npos);
  given = input("test.tsv");
  given.train = folder_ / "train.tsv";
  EXPECT_DOUBLE_EQ(score(run("sst2", letter_model(), given)).front().value, 0.75);
}

TEST_F(Evaluation, PairsThroughALinearProbe) {
  std::string content = "sentence1\tsentence2\tlabel\n";
  for (int i = 0; i < 12; ++i) content += "a\ta\tsame\na\tj\tother\nj\tj\tsame\nj\ta\tother\n";
  write_bytes(folder_ / "train.tsv", content);
  write_bytes(folder_ / "test.tsv", "sentence1\tsentence2\tlabel\nb\tb\tsame\nb\ti\tother\n");
  TaskInput given = input();
  EXPECT_THROW((void)run("rte", letter_model(), given), Error);  // neighbours need single texts
  given.classifier = Classifier::kLinear;
  EXPECT_DOUBLE_EQ(score(run("rte", letter_model(), given)).front().value, 1);
}

TEST_F(Evaluation, OwnHeadByNameOrNumber) {
  TaskModel model;
  model.labels = {"bad", "good"};
  model.classify = [](const std::vector<std::string>& texts, const std::vector<std::string>&) {
    std::vector<std::vector<float>> rows;
    for (const auto& text : texts) rows.push_back({text == "x" ? 2.0f : 0.0f, 1.0f});
    return rows;
  };
  for (const auto& [bad, good] : {std::pair<const char*, const char*>{"bad", "good"}, {"0", "1"}}) {
    write_labelled("a.tsv", {{"x", bad}, {"y", good}, {"y", bad}});
    EXPECT_DOUBLE_EQ(named(score(run("mrpc", model, input("a.tsv"))), "f1").value, 2.0 / 3);
    EXPECT_DOUBLE_EQ(named(score(run("cola", model, input("a.tsv"))), "accuracy").value, 2.0 / 3);
  }
  write_labelled("b.tsv", {{"x", "ugly"}, {"y", "ugly"}, {"z", "bad"}});
  const std::string message = error_of([&] { (void)run("classification", model, input("b.tsv")); });
  EXPECT_NE(message.find("line 2: label \"ugly\""), std::string::npos) << message;
}

// Without labels in test, dev is scored and said; --split decides otherwise.
TEST_F(Evaluation, SplitThatHasLabels) {
  write_labelled("train.tsv", {{"a", "low"}, {"j", "high"}});
  write_labelled("dev.tsv", {{"a", "low"}, {"a", "high"}});
  write_bytes(folder_ / "test.tsv", "index\tsentence\n0\ta\n");
  const TaskResult result = run("classification", letter_model(), input());
  EXPECT_EQ(result.file.filename(), "dev.tsv");
  EXPECT_NE(result.reading.find("test has no labels"), std::string::npos);
  TaskInput given = input();
  given.split = "test";
  EXPECT_NE(error_of([&] { (void)run("classification", letter_model(), given); }).find("the label"),
            std::string::npos);
  given.split = "train";
  EXPECT_EQ(run("classification", letter_model(), given).file.filename(), "train.tsv");
  given.limit = 1;
  EXPECT_EQ(run("classification", letter_model(), given).num_examples, 1u);
}

TEST_F(Evaluation, ScoredPairs) {
  const std::string rows = "a\ta\t5\na\tc\t4\na\tf\t2.5\na\tj\t0\n";
  write_bytes(folder_ / "pairs.tsv", "sentence1\tsentence2\tscore\n" + rows);
  const TaskResult result = run("stsb", letter_model(), input("pairs.tsv"));
  EXPECT_DOUBLE_EQ(named(score(result), "spearmanr").value, 1);
  EXPECT_EQ(result.kind, TaskResult::Outputs::kScores);
  EXPECT_EQ(find_task("pairs"), find_task("stsb"));
  write_bytes(folder_ / "words.tsv", "sentence1\tsentence2\tscore\n" + rows + "a\ta\tfour\n");
  EXPECT_NE(error_of([&] { (void)run("stsb", letter_model(), input("words.tsv")); }).find("four"),
            std::string::npos);
  write_labelled("single.tsv", {{"a", "1"}});
  EXPECT_THROW((void)run("stsb", letter_model(), input("single.tsv")), Error);
}

TEST_F(Evaluation, Retrieval) {
  std::filesystem::create_directories(folder_ / "qrels");
  write_bytes(
      folder_ / "corpus.jsonl",
      "{\"_id\":\"d1\",\"title\":\"\",\"text\":\"a\"}\n{\"_id\":\"d2\",\"title\":\"e\",\"text\":\"a\"}\n"
      "{\"_id\":\"d3\",\"text\":\"j\"}\n");
  write_bytes(
      folder_ / "queries.jsonl",
      "{\"_id\":\"q1\",\"text\":\"b\"}\n{\"_id\":\"q2\",\"text\":\"i\"}\n{\"_id\":\"q3\",\"text\":\"i\"}\n");
  write_bytes(folder_ / "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\nq2\td1\t0\n");
  const TaskResult result = run("retrieval", letter_model(), input());
  EXPECT_EQ(result.num_examples, 2u);  // q3 has no relevant document
  const auto scores = score(result);
  // q1: d1 first. q2: d3, then d2.
  EXPECT_DOUBLE_EQ(named(scores, "mrr_at_10").value, (1 + 0.5) / 2);
  EXPECT_DOUBLE_EQ(named(scores, "ndcg_at_10").value, (1 + 1 / std::log2(3)) / 2);
  EXPECT_DOUBLE_EQ(named(scores, "recall_at_10").value, 1);
  write_bytes(folder_ / "qrels/test.tsv", "q1 0 d9 1\n");
  EXPECT_NE(error_of([&] { (void)run("retrieval", letter_model(), input()); }).find("d9"), std::string::npos);
}

TEST_F(Evaluation, Tagging) {
  write_bytes(folder_ / "test.conll", "Ada B-PER\nsaw O\nRome B-LOC\n\nRome\tB-LOC\nand\tO\nAda\tB-PER\n");
  TaskModel model;
  model.labels = {"O", "B-PER", "B-LOC"};
  model.tag = [](const std::vector<std::vector<std::string>>& sentences) {
    std::vector<TaskModel::Rows> all;
    for (const auto& words : sentences) {
      TaskModel::Rows rows;
      for (const auto& word : words)
        rows.push_back(word == "Ada" ? std::vector<float>{0, 1, 0} : std::vector<float>{1, 0, 0});
      rows.back().clear();  // cut off: counts as O
      all.push_back(rows);
    }
    return all;
  };
  const auto scores = score(run("tagging", model, input()));
  EXPECT_DOUBLE_EQ(named(scores, "overall_precision").value, 1);
  EXPECT_DOUBLE_EQ(named(scores, "overall_recall").value, 0.25);
  EXPECT_DOUBLE_EQ(named(scores, "overall_f1").value, 0.4);
  EXPECT_DOUBLE_EQ(named(scores, "overall_accuracy").value, 3.0 / 6);
  write_bytes(folder_ / "test.conll", "Ada B-DOG\n");
  EXPECT_NE(error_of([&] { (void)run("ner", model, input()); }).find("B-DOG"), std::string::npos);
}

TEST_F(Evaluation, MaskedWords) {
  write_bytes(folder_ / "texts.txt", "one\n\ntwo\n");
  TaskModel model;
  model.fill_masks = [](const std::vector<std::string>& texts, int64_t every) {
    EXPECT_EQ(every, 0);
    std::vector<std::vector<MaskedPiece>> pieces;
    for (const auto& text : texts) {
      if (text == "one") pieces.push_back({{std::log(0.5), 3, 3}, {std::log(0.25), 4, 5}});
      if (text == "two") pieces.push_back({{std::log(0.125), 6, 6}});
    }
    return pieces;
  };
  const TaskResult result = run("masked", model, input("texts.txt"));
  EXPECT_EQ(result.num_examples, 2u);
  EXPECT_DOUBLE_EQ(named(score(result), "accuracy").value, 2.0 / 3);
  EXPECT_NEAR(named(score(result), "pseudo_perplexity").value, 4, 1e-12);  // the mean of 1, 2 and 3 bits
}

TEST_F(Evaluation, Wordnet) {
  std::string nouns = "  1 licence\n";
  for (int i = 0; i < 200; ++i)
    nouns += fmt::format("{:08} {} n 01 word 0 000 | {}; \"an example\"\n", i, i % 2 == 0 ? "05" : "18",
                         i % 2 == 0 ? "animal" : "jurist");
  write_bytes(folder_ / "data.noun", nouns);
  write_bytes(folder_ / "data.verb", "");
  const TaskResult result = run("wordnet", letter_model(), input());
  EXPECT_GT(result.num_examples, 5u);
  EXPECT_LT(result.num_examples, 50u);
  EXPECT_DOUBLE_EQ(score(result).front().value, 1);
  write_bytes(folder_ / "data.verb", "nothing of the kind\n");
  EXPECT_NE(error_of([&] { (void)run("wordnet", letter_model(), input()); }).find("data.verb: line 1"),
            std::string::npos);
}

// A difference that is there is found, one that is not is not.
TEST_F(Evaluation, PairedBootstrap) {
  constexpr std::size_t kExamples = 400;
  const auto metric = [](double rate, uint64_t seed) {
    std::vector<double> right(kExamples);
    Rng rng(seed);
    for (double& r : right) r = rng.uniform() < rate ? 1 : 0;
    return Metric{"accuracy", [right](std::span<const std::size_t> examples) {
                    double sum = 0;
                    for (const std::size_t i : examples) sum += right[i];
                    return sum / static_cast<double>(examples.size());
                  }};
  };
  const Difference real = compare_metric(metric(0.8, 1), metric(0.6, 2), kExamples);
  EXPECT_LT(real.p, 0.01);
  EXPECT_GT(real.interval.low, 0);
  const Difference none = compare_metric(metric(0.7, 3), metric(0.7, 4), kExamples);
  EXPECT_GT(none.p, 0.05);
  const Difference same = compare_metric(metric(0.7, 3), metric(0.7, 3), kExamples);
  EXPECT_EQ(same.value, 0);
  EXPECT_EQ(same.p, 1);
}

TEST_F(Evaluation, WhatAModelCannotDoIsSaid) {
  write_bytes(folder_ / "pairs.tsv", "sentence1\tsentence2\tlabel\na\tb\t1\n");
  for (const Task* task : all_tasks()) {
    EXPECT_EQ(find_task(task->name), task);
    EXPECT_THROW((void)task->run(TaskModel(), input("pairs.tsv")), Error) << task->name;
  }
  EXPECT_EQ(find_task("nothing"), nullptr);
}

}  // namespace
}  // namespace penjing
