// qa: the span of a context that answers a question, in the form of the Hugging Face question-answering task.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/loaded_model.h"
#include "text/unicode.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, question, context, context_file;
  int top_k = 1, max_answer = 15;
  int64_t stride = 128, max_length = 384;
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
  app.add_option("--doc-stride", options.stride, "tokens that neighbouring windows of a long context share")
      ->capture_default_str()
      ->check(CLI::Range(0, 512));
  app.add_option("--max-length", options.max_length, "tokens a window, question included")
      ->capture_default_str()
      ->check(CLI::Range(8, 1 << 20));
}

struct Answer {
  double score = 0;
  int32_t begin = 0, end = 0;  // characters of the context
};

// Answers of one window: spans with the highest p(start) p(end), starts and ends softmaxed over the window's
// context.
void collect(const Prediction& logits, const std::vector<std::pair<int32_t, int32_t>>& offsets, int64_t first,
             std::vector<Answer>& answers) {
  const auto count = static_cast<int64_t>(offsets.size());
  const auto at = [&](int64_t token, int64_t side) {
    return double{logits.values[static_cast<std::size_t>((first + token) * 2 + side)]};
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
  EncodeOptions plain;
  plain.add_special_tokens = false;
  const Encoding question = loaded.tokenizer->encode(options.question, plain),
                 whole = loaded.tokenizer->encode(context, plain);
  if (whole.ids.empty()) fail(ErrorKind::kInput, "the context is empty");
  // The template around both, from an encoding of the pair with one token of context.
  const Encoding shape = loaded.tokenizer->encode_pair(options.question, "a");
  const auto added =
      static_cast<int64_t>(std::count(shape.special_mask.begin(), shape.special_mask.end(), uint8_t{1}));
  const int64_t limit = std::min(options.max_length, loaded.predictor->max_length());
  const int64_t room = limit - added - static_cast<int64_t>(question.ids.size());
  if (room < 1)
    fail(ErrorKind::kInput, "the question has {} tokens; {} fit beside a context", question.ids.size(),
         limit - added - 1);
  const int64_t step = room - std::min(options.stride, room - 1);
  std::vector<Answer> answers;
  const auto total = static_cast<int64_t>(whole.ids.size());
  for (int64_t begin = 0;; begin += step) {
    const int64_t end = std::min(begin + room, total);
    std::vector<int32_t> ids, types;
    int64_t first = 0;
    for (std::size_t i = 0; i < shape.ids.size(); ++i) {
      if (shape.sequence[i] == 1) {
        if (i > 0 && shape.sequence[i - 1] == 1) continue;
        first = static_cast<int64_t>(ids.size());
        ids.insert(ids.end(), whole.ids.begin() + begin, whole.ids.begin() + end);
        types.resize(ids.size(), shape.type_ids[i]);
      } else {
        ids.push_back(shape.ids[i]);
        types.push_back(shape.type_ids[i]);
      }
    }
    RaggedBatch batch;
    batch.append(ids, types);
    Request request;
    request.kind = OutputKind::kSpanLogits;
    const Prediction logits = loaded.predictor->predict(batch, request);
    collect(logits, {whole.offsets.begin() + begin, whole.offsets.begin() + end}, first, answers);
    if (end == total) break;
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
