#include "train/chunked_loss.h"

#include <memory>
#include <type_traits>
#include <utility>

#include "train/text_examples.h"

namespace penjing::train {

namespace {

// Consecutive sequences of a batch.
struct Chunk {
  std::vector<const Sequence*> sequences;
  std::vector<int64_t> samples;
};

std::vector<Chunk> cut(std::span<const Sequence* const> sequences, std::span<const int64_t> samples,
                       int64_t chunk_tokens) {
  std::vector<Chunk> chunks;
  int64_t tokens = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const auto more = static_cast<int64_t>(sequences[i]->ids.size());
    if (chunks.empty() || tokens + more > chunk_tokens) {
      chunks.emplace_back();
      tokens = 0;
    }
    chunks.back().sequences.push_back(sequences[i]);
    chunks.back().samples.push_back(samples[i]);
    tokens += more;
  }
  return chunks;
}

at::Tensor embed(const Network& network, const ForwardContext& context, const Chunk& chunk) {
  const PackedBatch batch = pack(chunk.sequences, chunk.samples, network.device());
  return embed_sentences(*network.model, network.parameters, network.encoder->forward(batch, context), batch,
                         context);
}

std::vector<at::Tensor> trained(const Network& network) {
  std::vector<at::Tensor> tensors;
  for (const Parameters::Entry& entry : network.parameters) {
    if (entry.tensor.requires_grad()) tensors.push_back(entry.tensor);
  }
  return tensors;
}

// Backward of the whole: the chunks' forwards again, with their part of the embeddings' gradients.
class ChunkedBackward final : public torch::autograd::Node {
 public:
  ChunkedBackward(const Network& network, const ForwardContext& context, std::vector<Chunk> chunks,
                  std::vector<at::Tensor> parameters, at::Tensor gradient)
      : network_(network),
        context_(context),
        chunks_(std::move(chunks)),
        parameters_(std::move(parameters)),
        gradient_(std::move(gradient)) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& outputs) override {
    torch::autograd::variable_list sums(parameters_.size());
    const at::Tensor scaled = gradient_ * outputs[0];
    int64_t begin = 0;
    for (const Chunk& chunk : chunks_) {
      const auto rows = static_cast<int64_t>(chunk.sequences.size());
      at::AutoGradMode with_gradient(true);
      const at::Tensor embeddings = embed(network_, context_, chunk);
      const auto parts = torch::autograd::grad({embeddings}, parameters_, {scaled.narrow(0, begin, rows)},
                                               c10::nullopt, false, true);
      at::AutoGradMode without_gradient(false);
      for (std::size_t p = 0; p < sums.size(); ++p) {
        if (!parts[p].defined()) continue;
        sums[p] = sums[p].defined() ? sums[p].add_(parts[p]) : parts[p].clone();
      }
      begin += rows;
    }
    return sums;
  }

 private:
  const Network& network_;
  ForwardContext context_;
  std::vector<Chunk> chunks_;
  std::vector<at::Tensor> parameters_;
  at::Tensor gradient_;
};

// LibTorch holds a node by std::shared_ptr, newer ones by c10::intrusive_ptr.
template <typename Pointer = decltype(torch::autograd::Edge::function), typename... Arguments>
Pointer make_chunked_backward(Arguments&&... arguments) {
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<torch::autograd::Node>>) {
    return std::make_shared<ChunkedBackward>(std::forward<Arguments>(arguments)...);
  } else {
    return c10::make_intrusive<ChunkedBackward>(std::forward<Arguments>(arguments)...);
  }
}

}  // namespace

at::Tensor embedding_loss(const Network& network, const ForwardContext& context,
                          std::span<const Sequence* const> sequences, std::span<const int64_t> samples,
                          int64_t chunk_tokens, const EmbeddingLoss& loss_of) {
  std::vector<Chunk> chunks = cut(sequences, samples, chunk_tokens);
  std::vector<at::Tensor> parameters = trained(network);
  const bool graph = at::GradMode::is_enabled() && !parameters.empty();
  const bool observed = context.tap != nullptr || context.quantizer != nullptr;
  if (chunks.size() == 1 || (graph && observed)) {
    const Chunk whole{{sequences.begin(), sequences.end()}, {samples.begin(), samples.end()}};
    return loss_of(embed(network, context, whole));
  }
  std::vector<at::Tensor> parts;
  {
    const at::NoGradGuard no_graph;
    for (const Chunk& chunk : chunks) parts.push_back(embed(network, context, chunk));
  }
  at::Tensor embeddings = at::cat(parts);
  if (!graph) return loss_of(embeddings);
  embeddings.set_requires_grad(true);
  const at::Tensor loss = loss_of(embeddings);
  const at::Tensor gradient = torch::autograd::grad({loss}, {embeddings})[0];
  const auto node = make_chunked_backward(network, context, std::move(chunks), parameters, gradient);
  node->set_next_edges(torch::autograd::collect_next_edges(parameters));
  at::Tensor result = loss.detach();
  torch::autograd::create_gradient_edge(result, node);
  return result;
}

}  // namespace penjing::train
