// fill-mask: the likeliest words for [MASK], in the form of the Hugging Face fill-mask task.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/text_table.h"
#include "cli/loaded_model.h"
#include "data/text_lines.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, input;
  std::vector<std::string> texts;
  int top_k = 5;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a masked-language model")->required();
  app.add_option("TEXT", options.texts, "texts with [MASK]");
  app.add_option("-i,--input", options.input, "a text a line; - for standard input");
  app.add_option("-k,--top-k", options.top_k, "words a mask")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
}

// The top words of one mask: indices and softmax probabilities.
std::vector<std::pair<int32_t, double>> best_words(std::span<const float> logits, int count) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto kept = std::min<std::size_t>(static_cast<std::size_t>(count), order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = logits[static_cast<std::size_t>(a)],
                                  y = logits[static_cast<std::size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  double total = 0;
  const double highest = logits[static_cast<std::size_t>(order[0])];
  for (const float logit : logits) total += std::exp(logit - highest);
  std::vector<std::pair<int32_t, double>> best;
  for (std::size_t i = 0; i < kept; ++i) {
    best.emplace_back(order[i], std::exp(logits[static_cast<std::size_t>(order[i])] - highest) / total);
  }
  return best;
}

int run(const CommonOptions& common) {
  std::vector<std::string> texts = options.texts;
  if (!options.input.empty()) {
    const auto lines = read_text_lines(options.input);
    texts.insert(texts.end(), lines.begin(), lines.end());
  }
  if (texts.empty()) fail(ErrorKind::kInput, "no text given; pass TEXT or --input FILE");
  LoadedModel loaded = load_model(options.model, common, {"", {OutputKind::kMaskedLogits}});
  const int32_t mask = loaded.tokenizer->mask_id();
  if (mask < 0) fail(ErrorKind::kUnsupported, "{}: the tokenizer has no mask token", options.model);
  Json results = Json::array();
  for (const std::string& text : texts) {
    EncodeOptions how;
    how.max_length = loaded.max_length;
    const Encoding encoding = loaded.tokenizer->encode(text, how);
    std::vector<int64_t> positions;
    for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
      if (encoding.ids[i] == mask) positions.push_back(static_cast<int64_t>(i));
    }
    if (positions.empty()) {
      fail(ErrorKind::kInput, "no {} in \"{}\"{}", loaded.tokenizer->token(mask), text.substr(0, 80),
           encoding.truncated ? " (the text was cut)" : "");
    }
    RaggedBatch batch;
    batch.append(encoding.ids, encoding.type_ids);
    Request request;
    request.kind = OutputKind::kMaskedLogits;
    request.positions = positions;
    const Prediction prediction = loaded.predictor->predict(batch, request);
    Json masks = Json::array();
    for (int64_t row = 0; row < prediction.num_rows; ++row) {
      Json words = Json::array();
      for (const auto& [token, score] : best_words(prediction.row(row), options.top_k)) {
        std::vector<int32_t> filled = encoding.ids;
        filled[static_cast<std::size_t>(positions[static_cast<std::size_t>(row)])] = token;
        words.push_back(Json::object({{"score", score},
                                      {"token", static_cast<int64_t>(token)},
                                      {"token_str", loaded.tokenizer->token(token)},
                                      {"sequence", loaded.tokenizer->decode(filled, true)}}));
      }
      masks.push_back(std::move(words));
    }
    // One mask: a flat list, as the task defines it; several: a list a mask.
    Json result = prediction.num_rows == 1 ? masks.as_array("")[0] : masks;
    if (common.json) {
      results.push_back(std::move(result));
      continue;
    }
    TextTable table({"score", "word", "text"}, "rll");
    for (const Json& words : masks.as_array("")) {
      for (const Json& word : words.as_array("")) {
        table.add_row({fmt::format("{:.4f}", word.find("score")->as_double("")),
                       word.find("token_str")->as_string(""),
                       word.find("sequence")->as_string("").substr(0, 80)});
      }
    }
    print_text(table.str());
  }
  if (common.json) print_json(texts.size() == 1 ? results.as_array("")[0] : results);
  return kDone;
}

}  // namespace

extern const Command fill_mask_command;
const Command fill_mask_command = {"fill-mask", "the likeliest words for [MASK]",
                                   "  penjing fill-mask bert-base 'The capital of France is [MASK].'\n"
                                   "  penjing fill-mask bert-base --input prompts.txt --top-k 3 --json",
                                   declare, run};

}  // namespace penjing::cli
