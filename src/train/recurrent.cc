#include "train/recurrent.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace penjing::train {

std::vector<TokenRun> token_runs(const PackedBatch& batch, bool by_type) {
  std::vector<TokenRun> runs;
  const at::Tensor types = by_type ? batch.types.cpu() : at::Tensor();
  const int64_t* type = by_type ? types.data_ptr<int64_t>() : nullptr;
  for (int64_t s = 0; s < batch.num_sequences(); ++s) {
    const int64_t begin = batch.offsets[s], end = batch.offsets[s + 1];
    runs.push_back({begin, end - begin, s});
    for (int64_t token = begin + 1; by_type && token < end; ++token) {
      if (type[token] == type[token - 1]) continue;
      runs.back().length = token - runs.back().begin;
      runs.push_back({token, end - token, s});
    }
  }
  return runs;
}

at::Tensor run_recurrent(const RecurrentSpec& spec, const Parameters& parameters, const at::Tensor& x,
                         const PackedBatch& batch, int layer, const ForwardContext& context) {
  if (context.quantizer != nullptr)
    fail(ErrorKind::kUnsupported, "quantization-aware training of a recurrent layer");
  tell(context, spec.forward_input.name + ".in", layer, x);
  std::vector<TokenRun> runs = token_runs(batch, spec.restarts);
  std::stable_sort(runs.begin(), runs.end(),
                   [](const TokenRun& a, const TokenRun& b) { return a.length > b.length; });
  // As torch.nn.utils.rnn.pack_padded_sequence has it: all first tokens, all second ones, ...
  std::vector<int64_t> order, batch_sizes;
  for (int64_t t = 0; t < runs.front().length; ++t) {
    const std::size_t before = order.size();
    for (std::size_t r = 0; r < runs.size() && runs[r].length > t; ++r) order.push_back(runs[r].begin + t);
    batch_sizes.push_back(static_cast<int64_t>(order.size() - before));
  }
  std::vector<int64_t> back(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) back[order[i]] = static_cast<int64_t>(i);

  const at::Tensor rows = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const auto options = rows.options();
  const at::Tensor zeros = at::zeros({2, static_cast<int64_t>(runs.size()), spec.size}, options);
  std::vector<at::Tensor> weights;
  for (const auto& [input, hidden] : {std::pair(&spec.forward_input, &spec.forward_hidden),
                                      std::pair(&spec.backward_input, &spec.backward_hidden)}) {
    weights.push_back(parameters.at(input->name + ".weight"));
    weights.push_back(parameters.at(hidden->name + ".weight"));
    weights.push_back(parameters.at(input->name + ".bias"));
    weights.push_back(at::zeros({4 * spec.size}, options));
  }
  const at::Tensor packed = rows.index_select(0, at::tensor(order, at::kLong).to(rows.device()));
  const at::Tensor states = std::get<0>(at::lstm(packed, at::tensor(batch_sizes, at::kLong), {zeros, zeros},
                                                 weights, true, 1, 0.0, context.training, true));
  return states.index_select(0, at::tensor(back, at::kLong).to(rows.device())).to(x.scalar_type());
}

at::Tensor recurrent_ends(HeadInput input, const at::Tensor& hidden, const PackedBatch& batch) {
  const int64_t half = hidden.size(1) / 2;
  const std::vector<TokenRun> runs = token_runs(batch, input == HeadInput::kCompared);
  // Of run `which` of each sequence; zeros where there is none.
  const auto ends = [&](int64_t which) {
    std::vector<int64_t> first, last;
    std::vector<float> there;
    int64_t seen = 0, sequence = -1;
    for (const TokenRun& run : runs) {
      seen = run.sequence == sequence ? seen + 1 : 0;
      sequence = run.sequence;
      if (seen == 0) first.push_back(0), last.push_back(0), there.push_back(0);
      if (seen == which) {
        first.back() = run.begin;
        last.back() = run.begin + run.length - 1;
        there.back() = 1;
      }
    }
    const auto pick = [&](const std::vector<int64_t>& rows, int64_t feature) {
      return hidden.index_select(0, at::tensor(rows, at::kLong).to(hidden.device())).narrow(1, feature, half);
    };
    const at::Tensor both = at::cat({pick(last, 0), pick(first, half)}, 1);
    return both * at::tensor(there, at::kFloat).to(hidden.options()).unsqueeze(1);
  };
  const at::Tensor h1 = ends(0);
  if (input == HeadInput::kEnds) return h1;
  const at::Tensor h2 = ends(1);
  return at::cat({h1, h2, (h1 - h2).abs(), h1 * h2}, 1);
}

}  // namespace penjing::train
