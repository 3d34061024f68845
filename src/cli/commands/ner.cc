// ner: labels of tokens or spans, in the form of the Hugging Face token-classification task.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "cli/labels.h"
#include "cli/loaded_model.h"
#include "data/text_lines.h"
#include "text/unicode.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, input, aggregation = "simple";
  std::vector<std::string> texts, ignored = {"O"};
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a token classification model")->required();
  app.add_option("TEXT", options.texts, "texts");
  app.add_option("-i,--input", options.input, "a text a line; - for standard input");
  app.add_option("--aggregation-strategy", options.aggregation,
                 "none: every token; simple: joins tokens of one entity; first, average, max: first decide a "
                 "label a word")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "simple", "first", "average", "max"}));
  app.add_option("--ignore-labels", options.ignored, "labels to leave out")->capture_default_str();
}

// A token or a word: its scores over the labels, characters and first token.
struct Unit {
  std::vector<double> scores;
  int32_t begin = 0, end = 0, word = -1;
  std::size_t first_token = 0;
  std::vector<int32_t> ids;
  int64_t best() const { return std::max_element(scores.begin(), scores.end()) - scores.begin(); }
};

std::vector<double> softmax(const float* logits, int64_t count) {
  const double highest = *std::max_element(logits, logits + count);
  std::vector<double> scores(static_cast<std::size_t>(count));
  double total = 0;
  for (int64_t i = 0; i < count; ++i)
    total += scores[static_cast<std::size_t>(i)] = std::exp(logits[i] - highest);
  for (double& score : scores) score /= total;
  return scores;
}

// Words from tokens by the strategy: the first token's scores, their mean, or those of the most certain
// token.
std::vector<Unit> join_words(const std::vector<Unit>& tokens, const std::string& strategy) {
  std::vector<Unit> words;
  for (std::size_t begin = 0; begin < tokens.size();) {
    std::size_t end = begin + 1;
    while (end < tokens.size() && tokens[end].word == tokens[begin].word) ++end;
    Unit word = tokens[begin];
    word.end = tokens[end - 1].end;
    for (std::size_t i = begin + 1; i < end; ++i) {
      word.ids.insert(word.ids.end(), tokens[i].ids.begin(), tokens[i].ids.end());
      if (strategy == "average") {
        for (std::size_t k = 0; k < word.scores.size(); ++k) word.scores[k] += tokens[i].scores[k];
      } else if (strategy == "max" && tokens[i].scores[static_cast<std::size_t>(tokens[i].best())] >
                                          word.scores[static_cast<std::size_t>(word.best())]) {
        word.scores = tokens[i].scores;
      }
    }
    if (strategy == "average") {
      for (double& score : word.scores) score /= static_cast<double>(end - begin);
    }
    words.push_back(std::move(word));
    begin = end;
  }
  return words;
}

// "B-PER" -> {'B', "PER"}; a label without a prefix counts as I, as the pipeline does.
std::pair<char, std::string> split_tag(const std::string& label) {
  if (label.starts_with("B-")) return {'B', label.substr(2)};
  if (label.starts_with("I-")) return {'I', label.substr(2)};
  return {'I', label};
}

Json group_units(const LoadedModel& loaded, const std::vector<Unit>& units) {
  Json groups = Json::array();
  for (std::size_t begin = 0; begin < units.size();) {
    const std::string tag = split_tag(label_of(loaded.model, units[begin].best())).second;
    std::size_t end = begin + 1;
    for (; end < units.size(); ++end) {
      const auto [bi, next] = split_tag(label_of(loaded.model, units[end].best()));
      if (next != tag || bi == 'B') break;
    }
    double score = 0;
    std::vector<int32_t> ids;
    for (std::size_t i = begin; i < end; ++i) {
      score += units[i].scores[static_cast<std::size_t>(units[i].best())];
      ids.insert(ids.end(), units[i].ids.begin(), units[i].ids.end());
    }
    if (std::find(options.ignored.begin(), options.ignored.end(), tag) == options.ignored.end()) {
      groups.push_back(Json::object({{"entity_group", tag},
                                     {"score", score / static_cast<double>(end - begin)},
                                     {"word", loaded.tokenizer->decode(ids, false)},
                                     {"start", units[begin].begin},
                                     {"end", units[end - 1].end}}));
    }
    begin = end;
  }
  return groups;
}

int run(const CommonOptions& common) {
  std::vector<std::string> texts = options.texts;
  if (!options.input.empty()) {
    const auto lines = read_text_lines(options.input);
    texts.insert(texts.end(), lines.begin(), lines.end());
  }
  if (texts.empty() && options.input.empty())
    fail(ErrorKind::kInput, "no text given; pass TEXT or --input FILE");
  LoadedModel loaded = load_model(options.model, common, {"", {OutputKind::kTokenLogits}});
  if (!loaded.predictor->supports(OutputKind::kTokenLogits))
    fail(ErrorKind::kUnsupported, "{}: no token classification head", options.model);
  EncodeOptions how;
  how.max_length = loaded.max_length;
  std::vector<Encoding> encodings;
  int64_t truncated = 0;
  for (const auto& text : texts) {
    encodings.push_back(loaded.tokenizer->encode(text, how));
    truncated += encodings.back().truncated ? 1 : 0;
  }
  if (truncated > 0)
    log_warning("{} of {} texts were cut to {} tokens: their rest has no labels", truncated, texts.size(),
                how.max_length);
  std::vector<Json> results(texts.size());
  predict_all(
      *loaded.predictor, encodings, OutputKind::kTokenLogits, "ner",
      [&](std::size_t i, const float* rows, int64_t count, int64_t dim) {
        const Encoding& encoding = encodings[i];
        std::vector<Unit> units;
        for (int64_t t = 0; t < count; ++t) {
          const auto at = static_cast<std::size_t>(t);
          if (encoding.special_mask[at] != 0) continue;
          units.push_back({softmax(rows + t * dim, dim),
                           encoding.offsets[at].first,
                           encoding.offsets[at].second,
                           encoding.words[at],
                           at,
                           {encoding.ids[at]}});
        }
        if (options.aggregation == "none") {
          Json list = Json::array();
          for (const Unit& unit : units) {
            const std::string label = label_of(loaded.model, unit.best());
            if (std::find(options.ignored.begin(), options.ignored.end(), label) != options.ignored.end())
              continue;
            list.push_back(Json::object({{"entity", label},
                                         {"score", unit.scores[static_cast<std::size_t>(unit.best())]},
                                         {"index", static_cast<uint64_t>(unit.first_token)},
                                         {"word", std::string(loaded.tokenizer->token(unit.ids[0]))},
                                         {"start", unit.begin},
                                         {"end", unit.end}}));
          }
          results[i] = std::move(list);
        } else {
          results[i] = group_units(
              loaded, options.aggregation == "simple" ? units : join_words(units, options.aggregation));
        }
      });
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (common.json) {
      print_text(results[i].dump() + "\n");
      continue;
    }
    const auto bytes = byte_offsets(texts[i]);
    for (const Json& entity : results[i].as_array("")) {
      const auto begin = static_cast<std::size_t>(entity.find("start")->as_int("")),
                 end = static_cast<std::size_t>(entity.find("end")->as_int(""));
      const Json* name =
          entity.find("entity_group") != nullptr ? entity.find("entity_group") : entity.find("entity");
      print_text(fmt::format("{}\t{}\t{:.4f}\t{}\t{}\t{}\n", i + 1, name->as_string(""),
                             entity.find("score")->as_double(""), begin, end,
                             texts[i].substr(static_cast<std::size_t>(bytes[begin]),
                                             static_cast<std::size_t>(bytes[end] - bytes[begin]))));
    }
  }
  return kDone;
}

}  // namespace

extern const Command ner_command;
const Command ner_command = {"ner", "named entities and other token labels",
                             "  penjing ner my-tagger 'Ada Lovelace lived in London.'\n"
                             "  penjing ner my-tagger --input texts.txt --aggregation-strategy first --json",
                             declare, run};

}  // namespace penjing::cli
