// qa: answers to questions as spans of a text (SQuAD 1.1 and 2.0; Rajpurkar et al. 2016, 2018). The text is
// read in windows that overlap; the answer is the span with the largest sum of a start and an end logit in
// any of them (Devlin et al. 2019, 4.2 and 4.3); F1 and exact match as SQuAD's scripts count them.
#include "base/error.h"
#include "base/interrupt.h"
#include "eval/answers.h"

namespace penjing {

namespace {

// The named split; else test, or dev where the folder has no test (SQuAD publishes none).
QuestionData read(const TaskInput& input) {
  if (!input.split.empty()) return read_questions(input.data, input.split, input.limit);
  std::string split = "test";
  try {
    find_questions(input.data, split);
  } catch (const Error&) {
    split = "dev";
  }
  return read_questions(input.data, split, input.limit);
}

TaskResult run(const TaskModel& model, const TaskInput& input) {
  if (!model.read_windows) fail(ErrorKind::kUnsupported, "the model has no question answering head");
  const QuestionData data = read(input);
  const WindowOptions options = window_options(input.answers, model.answers, model.max_length);
  std::vector<AnswerWindow> windows;
  std::vector<std::size_t> owners;
  for (std::size_t q = 0; q < data.questions.size(); ++q) {
    check_interrupt();
    const Question& question = data.questions[q];
    for (AnswerWindow& window :
         make_windows(*model.tokenizer, question.question, data.contexts[question.context], options)) {
      windows.push_back(std::move(window));
      owners.push_back(q);
    }
  }
  const TaskModel::Rows logits = model.read_windows(windows);
  std::vector<AnswerSearch> searches(data.questions.size(),
                                     AnswerSearch(answer_options(input.answers, model.answers, data)));
  for (std::size_t w = 0; w < windows.size(); ++w) searches[owners[w]].add(windows[w], logits[w]);
  std::vector<std::pair<int64_t, int64_t>> spans;
  for (const AnswerSearch& search : searches) spans.push_back(search.span());
  TaskResult result = score_answers(data, spans);
  result.how =
      fmt::format("own head, windows of {} tokens that share {}", options.max_length, options.doc_stride);
  return result;
}

}  // namespace

extern const Task qa_task;
const Task qa_task = {"qa", "squad squad_v2", "answers as spans of a text (SQuAD): F1 and exact match", run};

}  // namespace penjing
