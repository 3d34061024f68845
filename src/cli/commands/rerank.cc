// rerank: texts by relevance to a query, by a cross-encoder's score of each pair or a sentence encoder's
// cosine.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "cli/loaded_model.h"
#include "data/text_lines.h"
#include "eval/agreement.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, query, input;
  std::vector<std::string> texts;
  int64_t top_n = 0;
  bool raw = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a cross-encoder (one score a pair) or a sentence encoder")
      ->required();
  app.add_option("--query", options.query, "what is looked for")->required();
  app.add_option("TEXT", options.texts, "candidates");
  app.add_option("-i,--input", options.input, "candidates, one a line; - for standard input");
  app.add_option("-n,--top-n", options.top_n, "best texts only; 0 = all")->check(CLI::NonNegativeNumber);
  app.add_flag("--raw-scores", options.raw, "cross-encoders: logits instead of their sigmoid");
}

int run(const CommonOptions& common) {
  std::vector<std::string> texts = options.texts;
  if (!options.input.empty()) {
    const auto lines = read_text_lines(options.input);
    texts.insert(texts.end(), lines.begin(), lines.end());
  }
  if (texts.empty()) fail(ErrorKind::kInput, "no candidates given; pass TEXT or --input FILE");
  LoadedModel loaded = load_model(options.model, common);
  EncodeOptions how;
  how.max_length = loaded.max_length;
  how.ids_only = true;
  std::vector<Encoding> encodings;
  std::vector<double> scores(texts.size());
  int64_t truncated = 0;
  if (loaded.predictor->supports(OutputKind::kClassLogits)) {
    for (const auto& text : texts) {
      encodings.push_back(loaded.tokenizer->encode_pair(options.query, text, how));
      truncated += encodings.back().truncated ? 1 : 0;
    }
    predict_all(*loaded.predictor, encodings, OutputKind::kClassLogits, "rerank",
                [&](std::size_t i, const float* row, int64_t, int64_t dim) {
                  if (dim != 1)
                    fail(ErrorKind::kUnsupported,
                         "{}: a reranker gives one score a pair, this model gives {}", options.model, dim);
                  scores[i] = options.raw ? row[0] : 1 / (1 + std::exp(-double{row[0]}));
                });
  } else if (loaded.predictor->supports(OutputKind::kEmbedding)) {
    encodings.push_back(loaded.tokenizer->encode(options.query, how));
    for (const auto& text : texts) {
      encodings.push_back(loaded.tokenizer->encode(text, how));
      truncated += encodings.back().truncated ? 1 : 0;
    }
    std::vector<std::vector<float>> vectors(encodings.size());
    predict_all(
        *loaded.predictor, encodings, OutputKind::kEmbedding, "rerank",
        [&](std::size_t i, const float* row, int64_t, int64_t dim) { vectors[i].assign(row, row + dim); });
    for (std::size_t i = 0; i < texts.size(); ++i) scores[i] = cosine(vectors[0], vectors[i + 1]);
  } else {
    fail(ErrorKind::kUnsupported, "{}: neither a classification head nor a pooling", options.model);
  }
  if (truncated > 0)
    log_warning("{} of {} texts were cut to {} tokens", truncated, texts.size(), how.max_length);
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  if (options.top_n > 0 && order.size() > static_cast<std::size_t>(options.top_n))
    order.resize(static_cast<std::size_t>(options.top_n));
  Json list = Json::array();
  for (const std::size_t i : order) {
    if (common.json) {
      list.push_back(
          Json::object({{"index", static_cast<uint64_t>(i)}, {"score", scores[i]}, {"text", texts[i]}}));
    } else {
      print_text(fmt::format("{:.4f}\t{}\t{}\n", scores[i], i, texts[i]));
    }
  }
  if (common.json) print_json(list);
  return kDone;
}

}  // namespace

extern const Command rerank_command;
const Command rerank_command = {
    "rerank", "texts by relevance to a query",
    "  penjing rerank minilm --query 'growing small trees' 'How bonsai are kept' 'Tax law of 1999'\n"
    "  penjing rerank my-cross-encoder --query 'small trees' --input candidates.txt --top-n 5 --json",
    declare, run};

}  // namespace penjing::cli
