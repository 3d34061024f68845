#include "cli/loaded_model.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/stored_pack.h"

namespace penjing::cli {

namespace {

PoolingMode parse_pooling(const std::string& name) {
  if (name == "cls") return PoolingMode::kCls;
  if (name == "mean") return PoolingMode::kMean;
  if (name == "max") return PoolingMode::kMax;
  if (name == "mean_sqrt_len") return PoolingMode::kMeanSqrtLen;
  if (name == "weightedmean") return PoolingMode::kWeightedMean;
  if (name == "lasttoken") return PoolingMode::kLastToken;
  fail(ErrorKind::kInput, "--pooling \"{}\": wanted cls, mean, max, mean_sqrt_len, weightedmean or lasttoken",
       name);
}

}  // namespace

LoadedModel load_model(const std::string& name, const CommonOptions& common, const LoadOptions& options,
                       std::shared_ptr<ThreadPool> pool) {
  LoadedModel loaded;
  const auto folder = resolve_model(name);
  loaded.model = read_model(folder);
  const StoredModel stored = read_stored(folder);
  loaded.tokenizer = Tokenizer::load(folder, stored.tokenizer);
  if (loaded.tokenizer->vocab_size() > loaded.model.description.embedding.vocab_size) {
    fail(ErrorKind::kFormat, "{}: the tokenizer has {} tokens, the embedding table {} rows", folder.string(),
         loaded.tokenizer->vocab_size(), loaded.model.description.embedding.vocab_size);
  }
  if (!options.pooling.empty()) {
    SentenceModule pooling;
    pooling.pooling.modes = {parse_pooling(options.pooling)};
    auto& modules = loaded.model.sentence.modules;
    if (modules.empty()) {
      modules.push_back(pooling);
    } else {
      modules.front() = pooling;
    }
  }
  loaded.engine = Engine::build(loaded.model, {options.heads, stored.tensors});
  if (pool == nullptr) pool = std::make_shared<ThreadPool>(common.threads);
  loaded.pool = std::move(pool);
  loaded.predictor = loaded.engine->new_session(loaded.pool);
  loaded.max_length = loaded.predictor->max_length();
  const int64_t sentence = loaded.model.sentence.max_seq_length,
                tokenizer = loaded.tokenizer->model_max_length();
  const int64_t own = sentence > 0 ? sentence : tokenizer;
  if (own > 0) loaded.max_length = std::min(loaded.max_length, own);
  return loaded;
}

void predict_all(Predictor& predictor, const std::vector<Encoding>& encodings, OutputKind kind,
                 const std::string& label, const VisitRows& visit, Tap* tap, int64_t batch_tokens,
                 int64_t prompt_length) {
  Progress progress(label, static_cast<int64_t>(encodings.size()), "texts");
  predict_all(predictor, encodings, kind, &progress, visit, tap, batch_tokens, prompt_length);
}

void predict_all(Predictor& predictor, const std::vector<Encoding>& encodings, OutputKind kind,
                 Progress* progress, const VisitRows& visit, Tap* tap, int64_t batch_tokens,
                 int64_t prompt_length) {
  std::vector<std::size_t> order(encodings.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return encodings[a].ids.size() > encodings[b].ids.size();
  });
  RaggedBatch batch;
  for (std::size_t at = 0; at < order.size();) {
    check_interrupt();
    batch.clear();
    std::size_t end = at;
    for (; end < order.size(); ++end) {
      const Encoding& encoding = encodings[order[end]];
      if (end > at && batch.num_tokens() + static_cast<int64_t>(encoding.ids.size()) > batch_tokens) break;
      batch.append(encoding.ids, encoding.type_ids);
    }
    Request request;
    request.kind = kind;
    request.tap = tap;
    const std::vector<int64_t> prompt_lengths(prompt_length > 0 ? end - at : 0, prompt_length);
    request.prompt_lengths = prompt_lengths;
    const Prediction result = predictor.predict(batch, request);
    for (std::size_t i = at; i < end; ++i) {
      const int64_t first = result.row_offsets[i - at], last = result.row_offsets[i - at + 1];
      visit(order[i], result.values.data() + first * result.dim, last - first, result.dim);
    }
    if (progress != nullptr) progress->advance(static_cast<int64_t>(end - at));
    at = end;
  }
}

}  // namespace penjing::cli
