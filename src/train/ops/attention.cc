#include "kernels/train_attention/train_attention.h"
#include "train/ops/kernel_rows.h"
#include "train/ops/reference.h"

namespace penjing::train {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Values {
  AttentionShape shape;
  DropoutSite dropout;
};

// The heads of all sequences, [heads][sequences]: threads get whole heads, so that sequences of different
// lengths are shared out evenly.
struct Items {
  const std::vector<int64_t>& offsets;
  const std::vector<int64_t>& samples;
  const Values& values;

  int64_t sequences() const { return static_cast<int64_t>(samples.size()); }
  int64_t count() const { return sequences() * values.shape.num_heads; }
  int64_t longest() const {
    int64_t longest = 0;
    for (std::size_t s = 0; s < samples.size(); ++s) longest = std::max(longest, offsets[s + 1] - offsets[s]);
    return longest;
  }
};

struct Item {
  int64_t head, begin, column;  // its first token, its first feature
  train_attention::Shape shape;
};

Item item_of(const Items& items, int64_t index, const at::Tensor& query, const at::Tensor& key,
             const at::Tensor& value, const at::Tensor& bias) {
  const auto s = static_cast<std::size_t>(index % items.sequences());
  const AttentionShape& all = items.values.shape;
  Item item;
  item.head = index / items.sequences();
  item.begin = items.offsets[s];
  item.column = item.head * all.head_dim;
  train_attention::Shape& shape = item.shape;
  shape.element = element_of(query);
  shape.length = items.offsets[s + 1] - item.begin;
  shape.head_dim = all.head_dim;
  shape.q_stride = query.stride(0);
  shape.k_stride = key.stride(0);
  shape.v_stride = value.stride(0);
  shape.out_stride = all.num_heads * all.head_dim;
  shape.scale = all.scale;
  shape.window = all.window;
  shape.bias_stride = bias.defined() ? bias.size(2) : 0;
  shape.bias = bias.defined() ? bias.data_ptr<float>() + item.head * bias.size(1) * bias.size(2) : nullptr;
  shape.dropout = kernel_dropout(items.values.dropout);
  shape.sample = items.samples[s];
  shape.head = static_cast<uint32_t>(item.head);
  return item;
}

template <typename T>
T* at_item(const at::Tensor& rows, const Item& item) {
  return static_cast<T*>(advance<T>(rows.data_ptr(), rows, item.begin * rows.stride(0) + item.column, 1));
}

float* statistics_at(const at::Tensor& statistics, const Item& item) {  // [heads, tokens, 2]
  return statistics.data_ptr<float>() + 2 * (item.head * statistics.size(1) + item.begin);
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const MaybeTensor& maybe_bias,
                            const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                            const Values& values, bool differentiated) {
    const at::Tensor bias = tensor_or_undefined(maybe_bias);
    const Items items = {offsets, samples, values};
    at::Tensor out = at::empty(query.sizes(), query.options());
    at::Tensor statistics;
    if (differentiated) {
      statistics = at::empty({values.shape.num_heads, query.size(0), 2}, query.options().dtype(at::kFloat));
    }
    const auto& kernel = train_attention::select();
    const int64_t scratch_floats = kernel.scratch_floats(items.longest(), values.shape.head_dim);
    at::parallel_for(0, items.count(), 1, [&](int64_t first, int64_t last) {
      const at::Tensor scratch = at::empty({scratch_floats}, at::kFloat);
      for (int64_t index = first; index < last; ++index) {
        const Item item = item_of(items, index, query, key, value, bias);
        train_attention::Forward args;
        args.shape = item.shape;
        args.q = at_item<const void>(query, item);
        args.k = at_item<const void>(key, item);
        args.v = at_item<const void>(value, item);
        args.out = at_item<void>(out, item);
        args.statistics = differentiated ? statistics_at(statistics, item) : nullptr;
        args.scratch = scratch.data_ptr<float>();
        kernel.forward(args);
      }
    });
    if (differentiated) {
      keep_values(*context, values);
      context->saved_data["offsets"] = offsets;
      context->saved_data["samples"] = samples;
      context->saved_data["bias_learns"] = bias.defined() && bias.requires_grad();
      context->save_for_backward({query, key, value, bias, statistics});
    }
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto values = kept_values<Values>(*context);
    const std::vector<int64_t> offsets = context->saved_data["offsets"].toIntVector();
    const std::vector<int64_t> samples = context->saved_data["samples"].toIntVector();
    const auto saved = context->get_saved_variables();
    const at::Tensor &query = saved[0], &key = saved[1], &value = saved[2], &bias = saved[3],
                     &statistics = saved[4];
    const at::Tensor d_out = gradients[0].contiguous();
    at::Tensor d_query = at::empty(query.sizes(), query.options()), d_key = at::empty_like(d_query),
               d_value = at::empty_like(d_query), d_bias;
    const bool bias_learns = context->saved_data["bias_learns"].toBool();
    if (bias_learns) d_bias = at::zeros(bias.sizes(), bias.options());
    const Items items = {offsets, samples, values};
    const auto& kernel = train_attention::select();
    const int64_t scratch_floats = kernel.scratch_floats(items.longest(), values.shape.head_dim);
    const auto run = [&](int64_t first, int64_t last) {
      const at::Tensor scratch = at::empty({scratch_floats}, at::kFloat);
      for (int64_t index = first; index < last; ++index) {
        const Item item = item_of(items, index, query, key, value, bias);
        train_attention::Backward args;
        args.shape = item.shape;
        args.q = at_item<const void>(query, item);
        args.k = at_item<const void>(key, item);
        args.v = at_item<const void>(value, item);
        args.d_out = at_item<const void>(d_out, item);
        args.statistics = statistics_at(statistics, item);
        args.d_q = at_item<void>(d_query, item);
        args.d_k = at_item<void>(d_key, item);
        args.d_v = at_item<void>(d_value, item);
        args.gradient_stride = d_query.stride(0);
        args.d_bias =
            bias_learns ? d_bias.data_ptr<float>() + item.head * bias.size(1) * bias.size(2) : nullptr;
        args.scratch = scratch.data_ptr<float>();
        kernel.backward(args);
      }
    };
    // The bias's gradient is a sum over the sequences: a head of it belongs to one thread.
    const int64_t together = bias_learns ? items.sequences() : 1;
    if (items.count() > 0) {
      at::parallel_for(0, items.count() / together, 1,
                       [&](int64_t first, int64_t last) { run(first * together, last * together); });
    }
    return {d_query, d_key, d_value, d_bias, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// Rows whose features lie side by side.
at::Tensor with_rows(const at::Tensor& x) {
  return x.stride(1) == 1 ? x : x.contiguous();
}

}  // namespace

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::vector<int64_t>& offsets, const std::vector<int64_t>& samples,
                     const AttentionShape& shape, const at::Tensor& bias, const DropoutSite& dropout,
                     AttentionScores* scores) {
  if (query.size(0) == 0) return query.clone();
  const bool plain = has_kernel(query) && key.scalar_type() == query.scalar_type() &&
                     value.scalar_type() == query.scalar_type() &&
                     (!bias.defined() || bias.scalar_type() == at::kFloat);
  if (scores != nullptr || !plain)
    return reference::attention(query, key, value, offsets, samples, shape, bias, dropout, scores);
  return Attention::apply(with_rows(query), with_rows(key), with_rows(value), maybe(bias), offsets, samples,
                          Values{shape, dropout}, needs_gradient(query, key, value, bias));
}

}  // namespace penjing::train
