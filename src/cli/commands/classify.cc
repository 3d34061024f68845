// classify: class scores of texts or pairs, in the form of the Hugging Face text-classification task.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "cli/early_exit.h"
#include "cli/labels.h"
#include "cli/loaded_model.h"
#include "data/text_lines.h"
#include "model/prompts.h"
#include "text/prompt_tokens.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, input, output;
  std::vector<std::string> texts;
  int top_k = 1;
  bool pairs = false, raw = false;
  ExitOptions exit;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a sequence classification or regression model")->required();
  app.add_option("TEXT", options.texts, "texts");
  app.add_option("-i,--input", options.input, "a text a line; - for standard input");
  app.add_option("-k,--top-k", options.top_k, "classes a text; 0 = all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--pairs", options.pairs, "each input line is two texts with a tab between");
  app.add_flag("--raw-scores", options.raw, "logits instead of probabilities");
  declare_exit_options(app, options.exit);
}

int run(const CommonOptions& common) {
  std::vector<std::string> texts = options.texts;
  if (!options.input.empty()) {
    const auto lines = read_text_lines(options.input);
    texts.insert(texts.end(), lines.begin(), lines.end());
  }
  if (texts.empty() && options.input.empty())
    fail(ErrorKind::kInput, "no text given; pass TEXT or --input FILE");
  LoadedModel loaded = load_model(options.model, common, {"", {OutputKind::kClassLogits}});
  if (!loaded.predictor->supports(OutputKind::kClassLogits)) {
    fail(ErrorKind::kUnsupported, "{}: no sequence classification head", options.model);
  }
  const auto exits = options.exit.given() ? leave_early(loaded, options.model, options.exit) : nullptr;
  EncodeOptions how;
  how.max_length = loaded.max_length;
  how.ids_only = true;
  // A classifier of embeddings reads texts as they are embedded.
  const std::string prompt = is_sentence_classifier(loaded.model) && !options.pairs
                                 ? prompt_for(loaded.model.sentence, TextRole::kText)
                                 : "";
  std::vector<Encoding> encodings;
  int64_t truncated = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto tab = texts[i].find('\t');
    if (options.pairs && tab == std::string::npos)
      fail(ErrorKind::kInput, "text {}: --pairs wants a tab between the two texts", i + 1);
    encodings.push_back(options.pairs
                            ? loaded.tokenizer->encode_pair(std::string_view(texts[i]).substr(0, tab),
                                                            std::string_view(texts[i]).substr(tab + 1), how)
                            : loaded.tokenizer->encode(prompt + texts[i], how));
    truncated += encodings.back().truncated ? 1 : 0;
  }
  if (truncated > 0)
    log_warning("{} of {} texts were cut to {} tokens", truncated, texts.size(), how.max_length);
  std::vector<std::vector<ScoredLabel>> results(texts.size());
  predict_all(
      *loaded.predictor, encodings, OutputKind::kClassLogits, "classify",
      [&](std::size_t i, const float* row, int64_t, int64_t dim) {
        results[i] = score_labels(loaded.model, {row, static_cast<std::size_t>(dim)}, options.raw);
        if (options.top_k > 0 && results[i].size() > static_cast<std::size_t>(options.top_k))
          results[i].resize(static_cast<std::size_t>(options.top_k));
      },
      nullptr, kBatchTokens, count_prompt_tokens(*loaded.tokenizer, prompt));
  if (exits != nullptr) log_info("{}", exits->text());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (common.json) {
      Json list = Json::array();
      for (const ScoredLabel& entry : results[i])
        list.push_back(Json::object({{"label", entry.label}, {"score", entry.score}}));
      print_text(list.dump() + "\n");
      continue;
    }
    std::string line;
    for (const ScoredLabel& entry : results[i])
      line += fmt::format("{}{} {:.4f}", line.empty() ? "" : "  ", entry.label, entry.score);
    print_text(fmt::format("{}\t{}\n", line, texts[i].substr(0, 100)));
  }
  return kDone;
}

}  // namespace

extern const Command classify_command;
const Command classify_command = {"classify", "class scores of texts",
                                  "  penjing classify my-classifier 'what a lovely film'\n"
                                  "  penjing classify my-classifier --input texts.txt --json > labels.jsonl",
                                  declare, run};

}  // namespace penjing::cli
