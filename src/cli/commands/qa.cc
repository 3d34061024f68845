// qa: the span of a context that answers a question, in the form of the Hugging Face question-answering task.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/loaded_model.h"
#include "eval/answers.h"
#include "text/unicode.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, question, context, context_file;
  int top_k = 1, max_answer = 15;
  AnswerInput windows;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a question answering model")->required();
  app.add_option("--question", options.question, "the question")->required();
  app.add_option("--context", options.context, "the text that holds the answer");
  app.add_option("--context-file", options.context_file, "a file with that text");
  app.add_option("-k,--top-k", options.top_k, "answers")->capture_default_str()->check(CLI::Range(1, 100));
  app.add_option("--max-answer-len", options.max_answer, "tokens an answer may have")
      ->capture_default_str()
      ->check(CLI::Range(1, 512));
  app.add_option(
         "--doc-stride", options.windows.doc_stride,
         "tokens that neighbouring windows of a long context share; default: as the model was trained, else "
         "128, at most a third of a window")
      ->check(CLI::Range(0, 512));
  app.add_option("--max-length", options.windows.max_length,
                 "tokens a window, question included; default: as the model was trained, else 384")
      ->check(CLI::Range(8, 1 << 20));
}

struct Answer {
  double score = 0;
  int32_t begin = 0, end = 0;  // characters of the context
};

// Answers of one window: spans with the highest p(start) p(end), starts and ends softmaxed over the window's
// context.
void collect(const Prediction& logits, const AnswerWindow& window, std::vector<Answer>& answers) {
  const auto& offsets = window.offsets;
  const auto count = static_cast<int64_t>(offsets.size());
  const auto at = [&](int64_t token, int64_t side) {
    return double{logits.values[static_cast<std::size_t>((window.first + token) * 2 + side)]};
  };
  double high[2] = {-1e300, -1e300}, total[2] = {0, 0};
  for (int side = 0; side < 2; ++side) {
    for (int64_t t = 0; t < count; ++t) high[side] = std::max(high[side], at(t, side));
    for (int64_t t = 0; t < count; ++t) total[side] += std::exp(at(t, side) - high[side]);
  }
  for (int64_t begin = 0; begin < count; ++begin) {
    for (int64_t end = begin; end < std::min<int64_t>(count, begin + options.max_answer); ++end) {
      const double score =
          std::exp(at(begin, 0) - high[0]) / total[0] * std::exp(at(end, 1) - high[1]) / total[1];
      answers.push_back({score, offsets[static_cast<std::size_t>(begin)].first,
                         offsets[static_cast<std::size_t>(end)].second});
    }
  }
}

int run(const CommonOptions& common) {
  if (options.context.empty() == options.context_file.empty())
    fail(ErrorKind::kInput, "pass either --context or --context-file");
  const std::string context =
      options.context.empty() ? read_text_file(options.context_file, 64u << 20) : options.context;
  LoadedModel loaded = load_model(options.model, common, {"", {OutputKind::kSpanLogits}});
  if (!loaded.predictor->supports(OutputKind::kSpanLogits))
    fail(ErrorKind::kUnsupported, "{}: no question answering head", options.model);
  const int64_t longest = loaded.predictor->max_length();
  AnswerInput trained = read_trained_answers(loaded.model.config);
  if (!trained.max_length) trained.max_length = std::min<int64_t>(384, longest);
  WindowOptions how = window_options(options.windows, trained, longest);
  how.max_question_length = how.max_length;  // is never cut: windows without room are refused
  std::vector<Answer> answers;
  for (const AnswerWindow& window : make_windows(*loaded.tokenizer, options.question, context, how)) {
    if (window.offsets.empty()) fail(ErrorKind::kInput, "the context is empty");
    RaggedBatch batch;
    batch.append(window.ids, window.types);
    Request request;
    request.kind = OutputKind::kSpanLogits;
    collect(loaded.predictor->predict(batch, request), window, answers);
  }
  std::stable_sort(answers.begin(), answers.end(),
                   [](const Answer& a, const Answer& b) { return a.score > b.score; });
  const auto bytes = byte_offsets(context);
  Json list = Json::array();
  std::vector<std::pair<int32_t, int32_t>> seen;  // windows overlap: each span once
  for (const Answer& answer : answers) {
    if (static_cast<int>(seen.size()) == options.top_k) break;
    const std::pair span(answer.begin, answer.end);
    if (std::find(seen.begin(), seen.end(), span) != seen.end()) continue;
    seen.push_back(span);
    const auto from = static_cast<std::size_t>(bytes[static_cast<std::size_t>(answer.begin)]),
               to = static_cast<std::size_t>(bytes[static_cast<std::size_t>(answer.end)]);
    list.push_back(Json::object({{"score", answer.score},
                                 {"start", answer.begin},
                                 {"end", answer.end},
                                 {"answer", context.substr(from, to - from)}}));
  }
  if (common.json) {
    print_json(options.top_k == 1 ? list.as_array("")[0] : list);
    return kDone;
  }
  for (const Json& answer : list.as_array("")) {
    print_text(fmt::format("{:.4f}\t{}\t{}\t{}\n", answer.find("score")->as_double(""),
                           answer.find("start")->as_int(""), answer.find("end")->as_int(""),
                           answer.find("answer")->as_string("")));
  }
  return kDone;
}

}  // namespace

extern const Command qa_command;
const Command qa_command = {
    "qa", "the answer to a question, from a context",
    "  penjing qa my-reader --question 'Who wrote it?' --context 'It was written by Ada.'\n"
    "  penjing qa my-reader --question 'When?' --context-file article.txt --top-k 3 --json",
    declare, run};

}  // namespace penjing::cli
