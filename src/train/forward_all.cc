#include "train/forward_all.h"

#include <numeric>

#include "base/interrupt.h"
#include "train/text_examples.h"

namespace penjing::train {

void forward_all(const Network& network, const ForwardContext& context,
                 std::span<const Sequence* const> sequences, int64_t max_tokens, const VisitHidden& visit) {
  const at::NoGradGuard no_gradient;
  ForwardContext quiet = context;
  quiet.training = false;
  quiet.tap = nullptr;
  for (std::size_t begin = 0; begin < sequences.size();) {
    check_interrupt();
    std::size_t end = begin;
    for (int64_t tokens = 0; end < sequences.size(); ++end) {
      tokens += static_cast<int64_t>(sequences[end]->ids.size());
      if (end > begin && tokens > max_tokens) break;
    }
    std::vector<int64_t> samples(end - begin);
    std::iota(samples.begin(), samples.end(), static_cast<int64_t>(begin));
    const PackedBatch batch =
        pack(sequences.subspan(begin, end - begin), std::move(samples), network.device());
    visit(static_cast<int64_t>(begin), batch, network.encoder->forward(batch, quiet));
    begin = end;
  }
}

at::Tensor embed_all(const Network& network, const ForwardContext& context,
                     std::span<const Sequence* const> sequences, int64_t max_tokens) {
  std::vector<at::Tensor> parts;
  ForwardContext quiet = context;
  quiet.training = false;
  quiet.tap = nullptr;
  forward_all(network, quiet, sequences, max_tokens,
              [&](int64_t, const PackedBatch& batch, const at::Tensor& hidden) {
                parts.push_back(
                    embed_sentences(*network.model, network.parameters, hidden, batch, quiet).to(at::kCPU));
              });
  return at::cat(parts);
}

}  // namespace penjing::train
