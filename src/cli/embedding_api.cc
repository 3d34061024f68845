// include/penjing/penjing.h on top of what the commands use.
#include <algorithm>
#include <new>

#include "base/error.h"
#include "cli/labels.h"
#include "cli/loaded_model.h"
#include "model/prompts.h"
#include "penjing/penjing.h"
#include "text/prompt_tokens.h"

namespace penjing {

namespace {

// Inside, errors are penjing::Error; outside, Failure.
template <typename Body>
auto translate(Body body) {
  try {
    return body();
  } catch (const Error& error) {
    throw Failure(error.what());
  } catch (const std::bad_alloc&) {
    throw Failure("out of memory");
  }
}

}  // namespace

struct Encoder::State {
  cli::LoadedModel loaded;
  EncodeOptions how;

  std::string prompt;         // the model's default, put before texts to embed
  int64_t prompt_length = 0;  // its tokens, [CLS] included
  bool classifies_embeddings = false;

  std::vector<Encoding> tokenize(const std::vector<std::string>& texts, const std::string& before) const {
    if (before.empty()) return encode_all(*loaded.tokenizer, *loaded.pool, texts, how);
    std::vector<std::string> prompted;
    prompted.reserve(texts.size());
    for (const std::string& text : texts) prompted.push_back(before + text);
    return encode_all(*loaded.tokenizer, *loaded.pool, prompted, how);
  }
};

Encoder::Encoder(const std::string& model, const EncoderOptions& options) {
  translate([&] {
    state_ = std::make_unique<State>();
    cli::CommonOptions common;
    common.threads = options.threads;
    state_->loaded = cli::load_model(model, common);
    state_->how.ids_only = true;
    const auto limit = static_cast<int64_t>(options.max_length);
    state_->how.max_length =
        limit > 0 ? std::min(limit, state_->loaded.predictor->max_length()) : state_->loaded.max_length;
    const Model& own = state_->loaded.model;
    state_->prompt = prompt_for(own.sentence, TextRole::kText);
    state_->prompt_length = count_prompt_tokens(*state_->loaded.tokenizer, state_->prompt);
    state_->classifies_embeddings = is_sentence_classifier(own);
  });
}

Encoder::~Encoder() = default;
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;

std::vector<std::vector<float>> Encoder::encode(const std::vector<std::string>& texts) {
  return translate([&] {
    std::vector<std::vector<float>> vectors(texts.size());
    cli::predict_all(
        *state_->loaded.predictor, state_->tokenize(texts, state_->prompt), OutputKind::kEmbedding, "encode",
        [&](std::size_t i, const float* row, int64_t, int64_t dim) { vectors[i].assign(row, row + dim); },
        nullptr, cli::kBatchTokens, state_->prompt_length);
    return vectors;
  });
}

std::vector<std::vector<std::pair<std::string, double>>> Encoder::classify(
    const std::vector<std::string>& texts) {
  return translate([&] {
    std::vector<std::vector<std::pair<std::string, double>>> results(texts.size());
    const bool prompted = state_->classifies_embeddings;
    cli::predict_all(
        *state_->loaded.predictor, state_->tokenize(texts, prompted ? state_->prompt : ""),
        OutputKind::kClassLogits, "classify",
        [&](std::size_t i, const float* row, int64_t, int64_t dim) {
          for (const auto& entry :
               cli::score_labels(state_->loaded.model, {row, static_cast<std::size_t>(dim)}, false)) {
            results[i].emplace_back(entry.label, entry.score);
          }
        },
        nullptr, cli::kBatchTokens, prompted ? state_->prompt_length : 0);
    return results;
  });
}

std::size_t Encoder::dimension() const {
  const auto& modules = state_->loaded.model.sentence.modules;
  if (modules.empty()) return 0;
  auto size = static_cast<std::size_t>(state_->loaded.model.description.hidden_size);
  for (const SentenceModule& module : modules) {
    if (module.kind == SentenceModule::Kind::kPooling) size *= module.pooling.modes.size();
    if (module.kind == SentenceModule::Kind::kDense) size = static_cast<std::size_t>(module.dense.out);
  }
  return size;
}

}  // namespace penjing
