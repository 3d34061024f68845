// qa: the answer to a question is a span of a text (SQuAD 1.1 and 2.0): a logit a token for its first and its
// last one, the mean of the two cross-entropies over a window's tokens (Devlin et al. 2019, 4.2 and 4.3).
// Long texts are cut into windows that share doc_stride tokens; a window without the answer has its first
// token as start and end. The first of several right answers is learned. Scored as SQuAD's script does.
#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/interrupt.h"
#include "data/questions.h"
#include "eval/answers.h"
#include "text/unicode.h"
#include "train/losses.h"
#include "train/new_head.h"
#include "train/objective_params.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

class QuestionAnswering final : public Objective {
 public:
  QuestionAnswering(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input,
                    const QuestionData& data)
      : tokenizer_(tokenizer),
        input_(input),
        file_(data.file),
        reading_(data.reading),
        questions_(data.questions.size()),
        unanswerable_(data.num_unanswerable) {
    ObjectiveParams params(input.params);
    AnswerInput answers;
    answers.max_length = input.max_length;
    const WindowOptions usual = window_options(answers, {}, input.max_length);
    answers.doc_stride = params.integer("doc_stride", usual.doc_stride, 0, input.max_length);
    answers.max_question_length =
        params.integer("max_question_length", usual.max_question_length, 1, input.max_length);
    answers.max_answer_length = params.integer("max_answer_length", AnswerOptions().max_tokens, 1, 1 << 20);
    answers.null_threshold = params.number("null_threshold", 0, -1e6, 1e6);
    params.refuse_others();
    write_trained_answers(model.config, answers);
    windows_ = window_options(answers, {}, input.max_length);
    for (const Question& question : data.questions) {
      check_interrupt();
      for (AnswerWindow& window :
           make_windows(tokenizer, question.question, data.contexts[question.context], windows_)) {
        std::pair<int64_t, int64_t> target{0, 0};
        if (!question.answers.empty()) {
          const Question::Answer& answer = question.answers.front();
          const auto length = static_cast<int64_t>(byte_offsets(answer.text).size()) - 1;
          target = locate_answer(window, answer.begin, answer.begin + length);
        }
        without_ += target.second == 0 ? 1 : 0;
        targets_.push_back(target);
        sequences_.push_back({std::move(window.ids), std::move(window.types)});
      }
    }
  }

  int64_t num_examples() const override { return static_cast<int64_t>(sequences_.size()); }
  std::span<const Sequence> sequences(int64_t example) const override {
    return {sequences_.data() + example, 1};
  }
  std::string target(int64_t example) const override {
    return fmt::format("{} {}", targets_[example].first, targets_[example].second);
  }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    std::vector<int64_t> lengths, starts, ends;
    for (const int64_t i : examples) {
      const auto e = static_cast<std::size_t>(i);
      sequences.push_back(&sequences_[e]);
      lengths.push_back(static_cast<int64_t>(sequences_[e].ids.size()));
      starts.push_back(targets_[e].first);
      ends.push_back(targets_[e].second);
    }
    const PackedBatch batch = pack(sequences, {examples.begin(), examples.end()}, network.device());
    const at::Tensor logits =
        run_head(network.model->description, network.parameters, HeadKind::kQuestionAnswering,
                 network.encoder->forward(batch, context), batch, at::Tensor(), context);
    // [windows, longest, 2]; tokens that are not there have probability 0.
    const at::Tensor rows =
        at::pad_sequence(logits.split_with_sizes(lengths, 0), true, -std::numeric_limits<double>::infinity());
    const at::Device device = logits.device();
    const at::Tensor start = cross_entropy(rows.select(2, 0), at::tensor(starts, at::kLong).to(device));
    const at::Tensor end = cross_entropy(rows.select(2, 1), at::tensor(ends, at::kLong).to(device));
    return {0.5 * (start + end), {}};
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    TaskInput input = input_.data;
    input.split = input_.eval_split;
    return find_task("qa")->run(
        make_task_model(network, tokenizer_, context, input_.max_length, *input_.pool), input);
  }
  bool has_evaluation() const override { return !input_.eval_split.empty(); }

  std::string summary() const override {
    return fmt::format(
        "{}: {} questions, {} without an answer ({})\n{} windows of at most {} tokens that share {}, {} "
        "without an "
        "answer\n{}\n",
        file_.string(), questions_, unanswerable_, reading_, num_examples(), windows_.max_length,
        windows_.doc_stride, without_, describe_lengths(sequences_, 0, input_.max_length));
  }

 private:
  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  std::filesystem::path file_;
  std::string reading_;
  std::size_t questions_, unanswerable_;
  WindowOptions windows_;
  std::vector<Sequence> sequences_;                   // of windows
  std::vector<std::pair<int64_t, int64_t>> targets_;  // first and last token of the answer
  int64_t without_ = 0;
};

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  const QuestionData data = read_questions(input.data.data, input.train_split, input.data.limit);
  give_head(model, "ForQuestionAnswering", {}, "", input.seed);
  return std::make_unique<QuestionAnswering>(model, tokenizer, input, data);
}

}  // namespace

extern const ObjectiveKind qa_objective;
const ObjectiveKind qa_objective = {"qa", "squad squad_v2", "answers as spans of a text (SQuAD)", make,
                                    384};  // Devlin et al. 2018, appendix A.3; run_squad.py

}  // namespace penjing::train
