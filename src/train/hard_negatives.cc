#include "train/hard_negatives.h"

#include <algorithm>

#include "base/interrupt.h"
#include "base/progress.h"
#include "base/rng.h"
#include "train/losses.h"

namespace penjing::train {

namespace {

constexpr uint64_t kMiningStream = 0x6d696e65;  // "mine"
constexpr int64_t kBlock = 256;                 // anchors whose cosines are in memory at once

// `count` of the candidates, drawn without putting back.
std::vector<int64_t> draw(std::vector<int64_t> candidates, int64_t count, uint64_t seed,
                          std::size_t example) {
  Rng rng(seed, kMiningStream + (uint64_t{example} << 32));
  const auto taken = std::min(static_cast<std::size_t>(count), candidates.size());
  for (std::size_t i = 0; i < taken; ++i)
    std::swap(candidates[i], candidates[i + rng.below(candidates.size() - i)]);
  candidates.resize(taken);
  return candidates;
}

}  // namespace

std::vector<std::vector<int64_t>> mine_negatives(const RankingData& data, const at::Tensor& embeddings,
                                                 const MiningSettings& settings) {
  const at::NoGradGuard no_gradient;
  const at::Tensor units = unit_rows(embeddings);
  const at::Tensor corpus = units.index_select(0, at::tensor(data.corpus, at::kLong));
  const auto examples = static_cast<int64_t>(data.examples.size());
  std::vector<std::vector<int64_t>> negatives(data.examples.size());
  Progress progress("mining negatives", examples, "examples");
  for (int64_t begin = 0; begin < examples; begin += kBlock) {
    check_interrupt();
    const int64_t count = std::min(kBlock, examples - begin);
    std::vector<int64_t> anchors;
    for (int64_t e = begin; e < begin + count; ++e)
      anchors.push_back(data.examples[static_cast<std::size_t>(e)][0]);
    const at::Tensor queries = units.index_select(0, at::tensor(anchors, at::kLong));
    // Equal cosines stay in the order of the corpus.
    const auto [cosines, order] = at::mm(queries, corpus.t()).sort(true, 1, true);
    for (int64_t i = 0; i < count; ++i) {
      const auto e = static_cast<std::size_t>(begin + i);
      const std::vector<int64_t>& example = data.examples[e];
      const auto& right = data.right.at(example[0]);
      const std::string& text_of_anchor = data.texts[static_cast<std::size_t>(example[0])];
      const double positive = (units[example[0]] * units[example[1]]).sum().item<double>();
      const at::Tensor ranked = order[i].contiguous(), scores = cosines[i].contiguous();
      const auto* text = ranked.data_ptr<int64_t>();
      const auto* score = scores.data_ptr<float>();
      std::vector<int64_t> candidates;
      int64_t rank = 0;
      for (int64_t c = 0; c < ranked.size(0) && rank < settings.to; ++c) {
        const int64_t candidate = data.corpus[static_cast<std::size_t>(text[c])];
        const bool anchor = data.texts[static_cast<std::size_t>(candidate)] == text_of_anchor;
        if (anchor || right.contains(candidate)) continue;
        ++rank;
        const bool far = positive - static_cast<double>(score[c]) >= settings.margin;
        if (rank >= settings.from && far) candidates.push_back(candidate);
      }
      negatives[e] = draw(std::move(candidates), settings.count, settings.seed, e);
    }
    progress.advance(count);
  }
  return negatives;
}

}  // namespace penjing::train
