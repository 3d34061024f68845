#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "data/dataset.h"
#include "eval/statistics.h"
#include "text/answer_windows.h"

namespace penjing {

// One masked piece of a text: what the model gave the piece that was there.
struct MaskedPiece {
  double log_probability = 0;  // nats
  int32_t truth = 0, best = 0;
};

// How answers are looked for in texts longer than a model reads; what is absent follows from elsewhere
// (eval/answers.h).
struct AnswerInput {
  std::optional<int64_t> max_length;           // tokens of a window
  std::optional<int64_t> doc_stride;           // tokens of the text that neighbouring windows share
  std::optional<int64_t> max_question_length;  // tokens
  std::optional<int64_t> max_answer_length;    // tokens
  std::optional<double> null_threshold;        // "no answer" must score so much above the best answer
};

// What a task asks of a model. Given by whoever has a runtime; a function that is not set is something the
// model cannot do. Rows come in the order of the texts.
struct TaskModel {
  using Rows = std::vector<std::vector<float>>;
  std::vector<std::string> labels;  // of its classification or tagging head, in order; empty: none
  // Sentence embeddings, with the model's prompt for such texts before each (model/prompts.h); all
  // three or none.
  std::function<Rows(const std::vector<std::string>&texts)> embed, embed_queries, embed_documents;
  // Logits of its classification head for texts, or for pairs where `pairs` is not empty.
  std::function<Rows(const std::vector<std::string>& texts, const std::vector<std::string>& pairs)> classify;
  // Logits of its tagging head for the first piece of each word; a word beyond the model's length has none.
  std::function<std::vector<Rows>(const std::vector<std::vector<std::string>>& sentences)> tag;
  // Masks the pieces of each text, every `every`-th at once (0: one at a time), until each was masked once.
  std::function<std::vector<std::vector<MaskedPiece>>(const std::vector<std::string>& texts, int64_t every)>
      fill_masks;
  // Start and end logits of its question answering head, [tokens, 2], of each window; windows are made with
  // its tokenizer and have at most max_length tokens.
  std::function<Rows(const std::vector<AnswerWindow>& windows)> read_windows;
  const Tokenizer* tokenizer = nullptr;
  int64_t max_length = 0;
  AnswerInput answers;  // as it was trained
};

// One score as a function of the examples that count, so that it can be resampled.
struct Metric {
  std::string name;  // "accuracy", "spearmanr": the keys of Hugging Face's evaluate
  std::function<double(std::span<const std::size_t> examples)> value;
};

struct TaskResult {
  std::vector<Metric> metrics;  // the main one first
  std::size_t num_examples = 0;
  // For agreement with a reference: classes (the share of equal ones) or scores (their correlation).
  enum class Outputs { kClasses, kScores } kind = Outputs::kClasses;
  std::vector<double> outputs;
  std::vector<std::string> texts;  // what is said, where that is a text
  std::filesystem::path file;
  std::string reading, how;  // how the data was read; "own head", "10 nearest neighbours": for the reader
};

enum class Classifier { kNeighbours, kLinear };

// What the user gave a task.
struct TaskInput {
  std::filesystem::path data;
  std::string split;            // empty: test, or dev when test has no labels
  std::filesystem::path train;  // a file; empty: the folder's own
  ColumnNames columns;
  std::size_t limit = 0;                            // the first examples only; 0: all
  Classifier classifier = Classifier::kNeighbours;  // where the model has no head of its own
  int64_t mask_every = 0;
  AnswerInput answers;
  ThreadPool* pool = nullptr;  // for what a task computes itself; may be null
};

// The result's outputs, a line of JSON each: {"class": 1}, {"score": 0.7}, or of texts {"answer": ""}.
// Written whole or not at all.
void write_predictions(const std::filesystem::path& file, const TaskResult& result);

// The labelled texts to be scored, and those to learn from.
Dataset read_test(const TaskInput& input);
Dataset read_train(const TaskInput& input);

// A kind of task: a file in eval/tasks/, a line in tasks.def.
struct Task {
  const char* name;
  const char* aliases;  // other names, with blanks between
  const char* summary;
  TaskResult (*run)(const TaskModel& model, const TaskInput& input);
};
std::span<const Task* const> all_tasks();
const Task* find_task(std::string_view name);

// A metric that is the mean of one number an example.
Metric mean_metric(std::string name, std::vector<double> values);

struct Score {
  std::string name;
  double value = 0;
  Interval interval;  // 95 %, percentile bootstrap over examples
};
std::vector<Score> score(const TaskResult& result, uint64_t seed = 1, int resamples = 1000);

// The difference of two models on one metric over the same examples: mean and 95 % interval of model -
// reference by paired bootstrap, and the share of resamples on the other side of zero, twice (a two-sided p
// value, at most 1).
struct Difference {
  double value = 0;
  Interval interval;
  double p = 1;
};
Difference compare_metric(const Metric& model, const Metric& reference, std::size_t num_examples,
                          uint64_t seed = 1, int resamples = 1000);

}  // namespace penjing
