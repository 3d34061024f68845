// embed: texts to sentence vectors (or, with --tokens, to one vector a token).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "cli/loaded_model.h"
#include "cli/unit_vectors.h"
#include "data/npy.h"
#include "data/text_lines.h"
#include "model/prompts.h"
#include "numerics/float16.h"
#include "text/prompt_tokens.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, input, output, prompt, prompt_name, pooling, type = "float32";
  std::vector<std::string> texts;
  int64_t max_length = 0, dimensions = 0, batch_tokens = kBatchTokens;
  bool normalize = false, no_normalize = false, tokens = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a sentence encoder")->required();
  app.add_option("TEXT", options.texts, "texts");
  app.add_option("-i,--input", options.input,
                 "a text a line (an empty line is a text), .jsonl with \"text\", or - for standard input");
  app.add_option("-o,--output", options.output,
                 ".npy, .jsonl or .txt; standard output as JSONL when left out");
  app.add_option("--prompt", options.prompt, "text put before each input");
  app.add_option("--prompt-name", options.prompt_name, "a prompt of the model's own, by name");
  app.add_flag("--normalize", options.normalize, "scale vectors to length 1 even when the model does not");
  app.add_flag("--no-normalize", options.no_normalize,
               "leave vectors as pooled even when the model normalizes");
  app.add_option(
         "--dimensions,--dim", options.dimensions,
         "keep only the first N numbers (Matryoshka models); of length 1 again where the model normalizes")
      ->check(CLI::PositiveNumber);
  app.add_option("--max-length", options.max_length,
                 "tokens a text, the rest is cut; default: the model's own limit")
      ->check(CLI::PositiveNumber);
  app.add_option("--pooling", options.pooling,
                 "instead of the model's own: cls, mean, max, mean_sqrt_len, weightedmean, lasttoken");
  app.add_option("--type", options.type,
                 "numbers of a .npy file; int8 = round(127 x) of unit vectors, binary = signs, 8 a byte")
      ->capture_default_str()
      ->check(CLI::IsMember({"float32", "float16", "int8", "binary"}));
  app.add_flag("--tokens", options.tokens, "the encoder's vector of every token, rows one after the other");
  app.add_option("--batch-tokens", options.batch_tokens, "tokens run together; more needs more memory")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
}

std::string choose_prompt(const SentenceSpec& spec) {
  if (!options.prompt.empty()) return options.prompt;
  return options.prompt_name.empty() ? prompt_for(spec, TextRole::kText)
                                     : find_prompt(spec, options.prompt_name);
}

class RowWriter {
 public:
  explicit RowWriter(int64_t dim) {
    if (options.output.ends_with(".npy")) {
      const bool binary = options.type == "binary";
      const char* descr = options.type == "float32"   ? "<f4"
                          : options.type == "float16" ? "<f2"
                          : binary                    ? "|u1"
                                                      : "|i1";
      npy_.emplace(options.output, descr, binary ? (dim + 7) / 8 : dim);
    } else if (!options.output.empty()) {
      text_.emplace(options.output);
    }
  }

  void write(const std::vector<float>& row) {
    if (npy_) return write_npy(row);
    std::string line;
    if (options.output.ends_with(".txt")) {
      for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{}{}", i == 0 ? "" : " ", row[i]);
    } else {
      Json values = Json::array();
      for (const float x : row) values.push_back(Json(std::stod(fmt::format("{}", x))));
      line = Json::object({{"index", index_}, {"embedding", std::move(values)}}).dump();
    }
    ++index_;
    line += '\n';
    if (text_) {
      text_->write(line);
    } else {
      print_text(line);
    }
  }

  void commit() {
    if (npy_) npy_->commit();
    if (text_) text_->commit();
  }

 private:
  void write_npy(const std::vector<float>& row) {
    if (options.type == "float32") return npy_->write_row(std::as_bytes(std::span(row)));
    if (options.type == "float16") {
      std::vector<uint16_t> half(row.size());
      std::transform(row.begin(), row.end(), half.begin(), float_to_half);
      return npy_->write_row(std::as_bytes(std::span(half)));
    }
    if (options.type == "int8") {
      std::vector<int8_t> codes(row.size());
      std::transform(row.begin(), row.end(), codes.begin(), [](float x) {
        return static_cast<int8_t>(std::nearbyint(std::clamp(x * 127.0f, -127.0f, 127.0f)));
      });
      return npy_->write_row(std::as_bytes(std::span(codes)));
    }
    std::vector<uint8_t> bits((row.size() + 7) / 8, 0);
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (row[i] > 0) bits[i / 8] = static_cast<uint8_t>(bits[i / 8] | 0x80u >> i % 8);
    }
    npy_->write_row(std::as_bytes(std::span(bits)));
  }

  int64_t index_ = 0;
  std::optional<NpyWriter> npy_;
  std::optional<OutputFile> text_;
};

int run(const CommonOptions& common) {
  if (options.normalize && options.no_normalize)
    fail(ErrorKind::kInput, "--normalize and --no-normalize exclude each other");
  const bool npy = options.output.ends_with(".npy");
  if (options.type != "float32" && !npy)
    fail(ErrorKind::kInput, "--type {} needs an --output that ends in .npy", options.type);
  if (options.texts.empty() && options.input.empty())
    fail(ErrorKind::kInput, "no text given; pass TEXT or --input FILE");
  std::optional<TextLines> lines;
  if (!options.input.empty()) lines.emplace(options.input);

  const OutputKind kind = options.tokens ? OutputKind::kHidden : OutputKind::kEmbedding;
  LoadedModel loaded = load_model(options.model, common, {options.pooling, {kind}});
  if (!loaded.predictor->supports(kind)) {
    fail(ErrorKind::kInput, "{}: no pooling is described (modules.json); choose one with --pooling",
         options.model);
  }
  const std::string prompt = choose_prompt(loaded.model.sentence);
  bool model_normalizes = normalizes(loaded.model);
  if (options.no_normalize && model_normalizes) {
    auto& modules = loaded.model.sentence.modules;
    std::erase_if(modules,
                  [](const SentenceModule& m) { return m.kind == SentenceModule::Kind::kNormalize; });
    loaded.engine = Engine::build(loaded.model, {{kind}});
    loaded.predictor = loaded.engine->new_session(loaded.pool);
    model_normalizes = false;
  }
  const bool scale = !options.tokens && (options.normalize || (model_normalizes && options.dimensions > 0));

  EncodeOptions how;
  how.max_length = options.max_length > 0 ? std::min(options.max_length, loaded.predictor->max_length())
                                          : loaded.max_length;
  how.ids_only = true;
  const int64_t prompt_length = count_prompt_tokens(*loaded.tokenizer, prompt);

  // A block of texts at a time, in the order of the input, so that memory stays bounded however long the
  // input is.
  constexpr std::size_t kBlock = 8192;
  std::optional<RowWriter> writer;
  int64_t total = 0, truncated = 0;
  std::size_t next_text = 0;
  const auto read_block = [&] {
    std::vector<std::string> texts;
    std::string text;
    while (texts.size() < kBlock) {
      if (next_text < options.texts.size()) {
        text = options.texts[next_text++];
      } else if (!lines || !lines->next(text)) {
        break;
      }
      check_interrupt();
      texts.push_back(prompt + text);
    }
    std::vector<Encoding> block = encode_all(*loaded.tokenizer, *loaded.pool, texts, how);
    truncated += std::count_if(block.begin(), block.end(),
                               [](const Encoding& encoding) { return encoding.truncated; });
    total += static_cast<int64_t>(block.size());
    return block;
  };
  const int64_t lines_to_come = lines ? count_text_lines(options.input) : 0;
  Progress progress(
      "embed",
      lines_to_come < 0 ? Progress::kUnknown : lines_to_come + static_cast<int64_t>(options.texts.size()),
      "texts");
  for (std::vector<Encoding> block = read_block(); !block.empty(); block = read_block()) {
    std::vector<std::vector<float>> rows(block.size());
    int64_t dim = 0;
    predict_all(
        *loaded.predictor, block, kind, &progress,
        [&](std::size_t index, const float* values, int64_t num_rows, int64_t width) {
          dim = width;
          rows[index].assign(values, values + num_rows * width);
        },
        nullptr, options.batch_tokens, prompt_length);
    if (options.dimensions > dim)
      fail(ErrorKind::kInput, "--dimensions {}: the model's vectors have {}", options.dimensions, dim);
    const int64_t kept = options.dimensions > 0 ? options.dimensions : dim;
    if (!writer) writer.emplace(kept);
    for (auto& values : rows) {
      for (std::size_t at = 0; at < values.size(); at += static_cast<std::size_t>(dim)) {
        std::vector<float> row(values.begin() + static_cast<std::ptrdiff_t>(at),
                               values.begin() + static_cast<std::ptrdiff_t>(at) + kept);
        if (scale) scale_to_one(row);
        writer->write(row);
      }
    }
  }
  if (truncated > 0) log_warning("{} of {} texts were cut to {} tokens", truncated, total, how.max_length);
  if (!writer) writer.emplace(0);  // an input without a text: no row
  writer->commit();
  return kDone;
}

}  // namespace

extern const Command embed_command;
const Command embed_command = {"embed", "texts to vectors",
                               "  penjing embed minilm --input texts.txt --output vectors.npy\n"
                               "  penjing embed minilm 'A cat sits.' 'A kitten sat.' --output pair.jsonl\n"
                               "  penjing embed minilm --input texts.txt --output bits.npy --type binary",
                               declare, run};

}  // namespace penjing::cli
