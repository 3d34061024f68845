#include "model/block_parts.h"

namespace penjing {

namespace {

// Of a Block or a const Block.
template <typename Linear, typename AnyBlock>
std::vector<Linear*> collect_linears(AnyBlock& block) {
  if (auto* attention = std::get_if<AttentionSpec>(&block.part))
    return {&attention->query, &attention->key, &attention->value, &attention->output};
  if (auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
    std::vector<Linear*> linears = {&feed_forward->up, &feed_forward->down};
    if (feed_forward->gated) linears.push_back(&feed_forward->gate);
    return linears;
  }
  if (auto* bottleneck = std::get_if<BottleneckSpec>(&block.part)) return {&bottleneck->linear};
  if (auto* recurrent = std::get_if<RecurrentSpec>(&block.part)) {
    return {&recurrent->forward_input, &recurrent->forward_hidden, &recurrent->backward_input,
            &recurrent->backward_hidden};
  }
  return {};
}

template <typename Norm, typename AnyBlock>
std::vector<Norm*> collect_norms(AnyBlock& block) {
  std::vector<Norm*> norms;
  if (auto* alone = std::get_if<NormSpec>(&block.part)) norms.push_back(alone);
  if (block.norm_place != NormPlace::kNone) norms.push_back(&block.norm);
  return norms;
}

}  // namespace

std::vector<LinearSpec*> linears_of(Block& block) {
  return collect_linears<LinearSpec>(block);
}

std::vector<const LinearSpec*> linears_of(const Block& block) {
  return collect_linears<const LinearSpec>(block);
}

std::vector<NormSpec*> norms_of(Block& block) {
  return collect_norms<NormSpec>(block);
}

std::vector<const NormSpec*> norms_of(const Block& block) {
  return collect_norms<const NormSpec>(block);
}

}  // namespace penjing
