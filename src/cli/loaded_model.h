#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "cli/command.h"
#include "io/model_folder.h"
#include "predict/predictor.h"
#include "runtime/engine.h"
#include "text/tokenizer.h"

namespace penjing::cli {

// A model ready to run, as every command that runs one needs it.
struct LoadedModel {
  Model model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<ThreadPool> pool;
  std::shared_ptr<const Engine> engine;
  std::unique_ptr<Predictor> predictor;
  int64_t max_length =
      0;  // tokens: the model's own limit for texts (sentence_bert_config, tokenizer, positions)
};

struct LoadOptions {
  std::string pooling;            // replaces the model's own; empty: the model's
  std::vector<OutputKind> heads;  // empty: all
};
LoadedModel load_model(const std::string& name, const CommonOptions& common, const LoadOptions& options = {},
                       std::shared_ptr<ThreadPool> pool = nullptr);

// Tokens a forward takes together at most, when texts come in bulk.
inline constexpr int64_t kBatchTokens = 4096;

// Runs `encodings` in batches of at most batch_tokens tokens, longest first so that batches are even; visit()
// gets each result's rows with the index of its encoding, in any order. Reports progress; honours Ctrl-C.
// prompt_length: tokens of the prompt each begins with, [CLS] included, for poolings that leave it out.
using VisitRows = std::function<void(std::size_t index, const float* rows, int64_t num_rows, int64_t dim)>;
void predict_all(Predictor& predictor, const std::vector<Encoding>& encodings, OutputKind kind,
                 const std::string& label, const VisitRows& visit, Tap* tap = nullptr,
                 int64_t batch_tokens = kBatchTokens, int64_t prompt_length = 0);
// The same as a part of longer work, which has its own progress (null: and tells of more than texts).
void predict_all(Predictor& predictor, const std::vector<Encoding>& encodings, OutputKind kind,
                 Progress* progress, const VisitRows& visit, Tap* tap = nullptr,
                 int64_t batch_tokens = kBatchTokens, int64_t prompt_length = 0);

}  // namespace penjing::cli
