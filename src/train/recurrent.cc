#include "train/recurrent.h"

#include <algorithm>
#include <limits>
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

namespace {

// For run `which` of each sequence its place in `runs`, -1 where there is none.
std::vector<int64_t> runs_of_place(const std::vector<TokenRun>& runs, int64_t which) {
  std::vector<int64_t> places;
  int64_t seen = 0, sequence = -1;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    seen = runs[i].sequence == sequence ? seen + 1 : 0;
    sequence = runs[i].sequence;
    if (seen == 0) places.push_back(-1);
    if (seen == which) places.back() = static_cast<int64_t>(i);
  }
  return places;
}

at::Tensor index_of(const std::vector<int64_t>& numbers, const at::Tensor& like) {
  return at::tensor(numbers, at::kLong).to(like.device());
}

// The last states of each run: [runs, hidden_size].
at::Tensor ends_of(const std::vector<TokenRun>& runs, const at::Tensor& hidden) {
  const int64_t half = hidden.size(1) / 2;
  std::vector<int64_t> first, last;
  for (const TokenRun& run : runs) {
    first.push_back(run.begin);
    last.push_back(run.begin + run.length - 1);
  }
  return at::cat({hidden.index_select(0, index_of(last, hidden)).narrow(1, 0, half),
                  hidden.index_select(0, index_of(first, hidden)).narrow(1, half, half)},
                 1);
}

// The attended sum of each run: [runs, hidden_size]. Runs are padded to the longest for the softmax alone.
at::Tensor attended_of(const HeadSpec& head, const Parameters& parameters, const std::vector<TokenRun>& runs,
                       const at::Tensor& hidden, const ForwardContext& context) {
  const at::Tensor inner =
      activate(linear(parameters, head.attention, hidden, -1, context), Activation::kTanh);
  const at::Tensor scores = linear(parameters, head.attention_score, inner, -1, context).squeeze(1);
  const auto count = static_cast<int64_t>(runs.size());
  int64_t longest = 0;
  for (const TokenRun& run : runs) longest = std::max(longest, run.length);
  at::Tensor tokens = at::zeros({count, longest}, at::kLong), padded = at::ones({count, longest}, at::kBool);
  at::Tensor places = at::empty({hidden.size(0)}, at::kLong), owners = at::empty({hidden.size(0)}, at::kLong);
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t t = 0; t < runs[r].length; ++t) {
      const int64_t token = runs[r].begin + t;
      tokens.data_ptr<int64_t>()[r * longest + t] = token;
      padded.data_ptr<bool>()[r * longest + t] = false;
      places.data_ptr<int64_t>()[token] = r * longest + t;
      owners.data_ptr<int64_t>()[token] = r;
    }
  }
  const auto device = hidden.device();
  const bool exact = hidden.scalar_type() == at::kDouble;
  const at::Tensor rows = exact ? hidden : hidden.to(at::kFloat);
  const at::Tensor table = scores.to(rows.scalar_type())
                               .index_select(0, tokens.reshape({-1}).to(device))
                               .reshape({count, longest});
  const at::Tensor weights =
      at::softmax(table.masked_fill(padded.to(device), -std::numeric_limits<float>::infinity()), 1);
  const at::Tensor of_token = weights.reshape({-1}).index_select(0, places.to(device)).unsqueeze(1);
  return at::zeros({count, rows.size(1)}, rows.options())
      .index_add(0, owners.to(device), rows * of_token)
      .to(hidden.scalar_type());
}

}  // namespace

at::Tensor read_texts(const HeadSpec& head, const Parameters& parameters, const at::Tensor& hidden,
                      const PackedBatch& batch, const ForwardContext& context) {
  const std::vector<TokenRun> runs = token_runs(batch, head.compares);
  const at::Tensor values = head.input == HeadInput::kAttended
                                ? attended_of(head, parameters, runs, hidden, context)
                                : ends_of(runs, hidden);
  if (!head.compares) return values;
  const auto pick = [&](int64_t which) {
    std::vector<int64_t> places = runs_of_place(runs, which);
    std::vector<float> there;
    for (int64_t& place : places) {
      there.push_back(place < 0 ? 0.0f : 1.0f);
      place = std::max<int64_t>(place, 0);
    }
    return values.index_select(0, index_of(places, hidden)) *
           at::tensor(there, at::kFloat).to(hidden.options()).unsqueeze(1);
  };
  const at::Tensor h1 = pick(0), h2 = pick(1);
  return at::cat({h1, h2, (h1 - h2).abs(), h1 * h2}, 1);
}

}  // namespace penjing::train
