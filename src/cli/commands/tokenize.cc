// tokenize: texts to ids, tokens and character offsets.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/output_file.h"
#include "base/thread_pool.h"
#include "cli/command.h"
#include "data/text_lines.h"
#include "io/model_folder.h"
#include "text/tokenizer.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, input = "-", output;
  int64_t max_length = 0;
  bool no_special = false, strict = false, ids_only = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "whose tokenizer")->required();
  app.add_option("-i,--input", options.input, "a text a line; - for standard input")->capture_default_str();
  app.add_option("-o,--output", options.output, "JSONL file; standard output when left out");
  app.add_option("--max-length", options.max_length, "cut to so many tokens; 0 = do not cut")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--no-special-tokens", options.no_special, "leave out [CLS] and [SEP]");
  app.add_flag("--ids-only", options.ids_only, "leave out tokens and offsets: much faster");
  app.add_flag("--strict-utf8", options.strict, "malformed UTF-8 is an error instead of U+FFFD");
}

std::string encode_line(const Tokenizer& tokenizer, const std::string& text, const EncodeOptions& how) {
  const Encoding encoding = tokenizer.encode(text, how);
  if (how.ids_only) {
    fmt::memory_buffer line;
    fmt::format_to(std::back_inserter(line), "{{\"ids\":[{}]}}\n", fmt::join(encoding.ids, ","));
    return fmt::to_string(line);
  }
  Json ids = Json::array(), tokens = Json::array(), offsets = Json::array();
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    ids.push_back(encoding.ids[i]);
    tokens.push_back(std::string(tokenizer.token(encoding.ids[i])));
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

int run(const CommonOptions& common) {
  const auto tokenizer = Tokenizer::load(resolve_model(options.model));
  EncodeOptions how;
  how.add_special_tokens = !options.no_special;
  how.max_length = options.max_length;
  how.strict_utf8 = options.strict;
  how.ids_only = options.ids_only;
  ThreadPool pool(common.threads);
  TextLines lines(options.input);
  std::unique_ptr<OutputFile> file;
  if (!options.output.empty()) file = std::make_unique<OutputFile>(options.output);
  // A block of lines at a time, shared out among the threads, written in their order.
  constexpr std::size_t kBlock = 4096, kChunk = 32;
  std::vector<std::string> block;
  for (bool more = true; more;) {
    check_interrupt();
    block.clear();
    std::string line;
    while (block.size() < kBlock && (more = lines.next(line))) block.push_back(line);
    pool.parallel_for(static_cast<int64_t>((block.size() + kChunk - 1) / kChunk), [&](int64_t chunk, int) {
      const std::size_t begin = static_cast<std::size_t>(chunk) * kChunk;
      for (std::size_t i = begin; i < std::min(begin + kChunk, block.size()); ++i)
        block[i] = encode_line(*tokenizer, block[i], how);
    });
    for (const std::string& out : block) {
      if (file != nullptr) {
        file->write(out);
      } else {
        print_text(out);
      }
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
