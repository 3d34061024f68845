// tokenize: texts to ids, tokens and character offsets.
#include <CLI/CLI.hpp>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/output_file.h"
#include "cli/command.h"
#include "data/text_lines.h"
#include "io/model_folder.h"
#include "text/tokenizer.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, input = "-", output;
  int64_t max_length = 0;
  bool no_special = false, strict = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "whose tokenizer")->required();
  app.add_option("-i,--input", options.input, "a text a line; - for standard input")->capture_default_str();
  app.add_option("-o,--output", options.output, "JSONL file; standard output when left out");
  app.add_option("--max-length", options.max_length, "cut to so many tokens; 0 = do not cut")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--no-special-tokens", options.no_special, "leave out [CLS] and [SEP]");
  app.add_flag("--strict-utf8", options.strict, "malformed UTF-8 is an error instead of U+FFFD");
}

std::string encode_line(const Tokenizer& tokenizer, const std::string& text, const EncodeOptions& how) {
  const Encoding encoding = tokenizer.encode(text, how);
  Json ids = Json::array(), tokens = Json::array(), offsets = Json::array();
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    ids.push_back(encoding.ids[i]);
    tokens.push_back(tokenizer.token(encoding.ids[i]));
    Json pair = Json::array();
    pair.push_back(encoding.offsets[i].first);
    pair.push_back(encoding.offsets[i].second);
    offsets.push_back(std::move(pair));
  }
  return Json::object(
             {{"ids", std::move(ids)}, {"tokens", std::move(tokens)}, {"offsets", std::move(offsets)}})
             .dump() +
         "\n";
}

int run(const CommonOptions&) {
  const auto tokenizer = Tokenizer::load(resolve_model(options.model));
  EncodeOptions how;
  how.add_special_tokens = !options.no_special;
  how.max_length = options.max_length;
  how.strict_utf8 = options.strict;
  const auto lines = read_text_lines(options.input);
  std::unique_ptr<OutputFile> file;
  if (!options.output.empty()) file = std::make_unique<OutputFile>(options.output);
  for (const std::string& line : lines) {
    check_interrupt();
    const std::string out = encode_line(*tokenizer, line, how);
    if (file != nullptr) {
      file->write(out);
    } else {
      print_text(out);
    }
  }
  if (file != nullptr) file->commit();
  return kDone;
}

}  // namespace

extern const Command tokenize_command;
const Command tokenize_command = {"tokenize", "texts to token ids with character offsets",
                                  "  penjing tokenize minilm --input texts.txt --output tokens.jsonl\n"
                                  "  echo 'A small tree.' | penjing tokenize minilm",
                                  declare, run};

}  // namespace penjing::cli
