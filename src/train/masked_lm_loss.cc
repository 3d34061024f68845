#include "train/masked_lm_loss.h"

#include <algorithm>

namespace penjing::train {

namespace {

constexpr int64_t kSliceBytes = 256 << 20;  // logits and their gradient: two such tensors are there at a time

int64_t rows_of_slice(const Description& description, int64_t asked) {
  const int64_t row = description.embedding.vocab_size * static_cast<int64_t>(sizeof(float));
  return asked > 0 ? asked : std::max<int64_t>(1, kSliceBytes / row);
}

// What a slice's loss is computed from beside its rows. Kept for the backward, when the context of the caller
// is gone; the description and the parameters are the network's, which stay.
struct HeadCall : torch::CustomClassHolder {
  HeadCall(const Description& d, const Parameters& p, const PackedBatch& b, const ForwardContext& c)
      : description(d), parameters(p), batch(b), context(c) {}

  // x: rows of the encoder's output, already picked.
  at::Tensor logits(const at::Tensor& x) const {
    const at::Tensor all = at::arange(x.size(0), at::TensorOptions().dtype(at::kLong).device(x.device()));
    return run_head(description, parameters, HeadKind::kMaskedLm, x, batch, all, context);
  }
  at::Tensor loss(const at::Tensor& x, const at::Tensor& labels) const {
    return at::cross_entropy_loss(logits(x), labels, {}, at::Reduction::Sum);
  }

  const Description& description;
  const Parameters& parameters;
  PackedBatch batch;
  ForwardContext context;
};
using SharedCall = c10::intrusive_ptr<HeadCall>;

// The parameters that the head reads.
std::vector<at::Tensor> inputs_of_head(const Description& description, const Parameters& parameters) {
  const HeadSpec& head = *description.find_head(HeadKind::kMaskedLm);
  std::vector<std::string> names;
  if (head.has_dense) names.insert(names.end(), {head.dense.name + ".weight", head.dense.name + ".bias"});
  if (head.has_norm) names.insert(names.end(), {head.norm.name + ".weight", head.norm.name + ".bias"});
  names.push_back(projection_rows(description, head) + ".weight");
  if (!head.projection_rest.empty()) names.push_back(head.projection_rest);
  names.push_back(head.projection_bias.empty() ? head.projection.name + ".bias" : head.projection_bias);
  std::vector<at::Tensor> found;
  for (const std::string& name : names) {
    const at::Tensor* tensor = parameters.find(name);
    if (tensor != nullptr && tensor->requires_grad()) found.push_back(*tensor);
  }
  return found;
}

// The sum of the slices' losses. Keeps the picked rows and makes each slice's logits anew in the backward.
class SlicedLoss : public torch::autograd::Function<SlicedLoss> {
 public:
  // inputs: the rows, then the head's parameters.
  static at::Tensor forward(torch::autograd::AutogradContext* saved, const at::TensorList& inputs,
                            const at::Tensor& labels, const SharedCall& call, int64_t slice_rows) {
    saved->save_for_backward({inputs.begin(), inputs.end()});
    saved->saved_data["labels"] = labels;
    saved->saved_data["call"] = c10::IValue::make_capsule(call);
    saved->saved_data["slice_rows"] = slice_rows;
    const at::Tensor& x = inputs[0];
    at::Tensor sum = at::zeros({}, x.options().dtype(at::kFloat));
    for (int64_t begin = 0; begin < x.size(0); begin += slice_rows) {
      const int64_t rows = std::min(slice_rows, x.size(0) - begin);
      sum += call->loss(x.narrow(0, begin, rows), labels.narrow(0, begin, rows));
    }
    return sum;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* saved,
                                                 torch::autograd::variable_list from_above) {
    const auto inputs = saved->get_saved_variables();
    const at::Tensor labels = saved->saved_data["labels"].toTensor();
    const auto capsule = saved->saved_data["call"].toCapsule();
    const auto& call = static_cast<const HeadCall&>(*capsule);
    const int64_t slice_rows = saved->saved_data["slice_rows"].toInt();
    const at::Tensor& x = inputs[0];
    torch::autograd::variable_list gradients(inputs.size());
    gradients[0] = at::empty_like(x);
    for (int64_t begin = 0; begin < x.size(0); begin += slice_rows) {
      const int64_t rows = std::min(slice_rows, x.size(0) - begin);
      const at::AutoGradMode with_gradients(true);
      torch::autograd::variable_list leaves = inputs;
      leaves[0] = x.narrow(0, begin, rows).detach();
      leaves[0].set_requires_grad(true);
      const at::Tensor loss = call.loss(leaves[0], labels.narrow(0, begin, rows));
      const auto found = torch::autograd::grad({loss}, leaves, {from_above[0]});
      const at::NoGradGuard without;
      gradients[0].narrow(0, begin, rows).copy_(found[0]);
      for (std::size_t i = 1; i < found.size(); ++i) {
        if (gradients[i].defined()) {
          gradients[i] += found[i];
        } else {
          gradients[i] = found[i];
        }
      }
    }
    gradients.resize(inputs.size() + 3);  // labels, call, slice_rows have none
    return gradients;
  }
};

}  // namespace

at::Tensor masked_lm_loss(const Description& description, const Parameters& parameters,
                          const at::Tensor& hidden, const PackedBatch& batch, const at::Tensor& rows,
                          const at::Tensor& labels, const ForwardContext& context, int64_t slice_rows) {
  const at::Tensor x = hidden.index_select(0, rows);
  const auto call = c10::make_intrusive<HeadCall>(description, parameters, batch, context);
  const int64_t most = rows_of_slice(description, slice_rows);
  // Scales that a quantizer learns are none of the head's parameters: nothing is left out without slices.
  if (x.size(0) <= most || context.quantizer != nullptr) return call->loss(x, labels);
  std::vector<at::Tensor> inputs = {x};
  for (const at::Tensor& tensor : inputs_of_head(description, parameters)) inputs.push_back(tensor);
  const at::TensorList list(inputs);
  return SlicedLoss::apply(list, labels, SharedCall(call), most);
}

MaskedGuesses guess_masked(const Description& description, const Parameters& parameters,
                           const at::Tensor& hidden, const PackedBatch& batch, const at::Tensor& rows,
                           const at::Tensor& labels, const ForwardContext& context) {
  const at::NoGradGuard no_gradient;
  const at::Tensor x = hidden.index_select(0, rows);
  const HeadCall call(description, parameters, batch, context);
  const int64_t most = rows_of_slice(description, 0);
  MaskedGuesses guesses;
  for (int64_t begin = 0; begin < x.size(0); begin += most) {
    const int64_t count = std::min(most, x.size(0) - begin);
    const at::Tensor logits = call.logits(x.narrow(0, begin, count));
    const at::Tensor truth = labels.narrow(0, begin, count);
    const at::Tensor of_truth = logits.gather(1, truth.unsqueeze(1)).squeeze(1);
    const at::Tensor log_p = (of_truth - logits.logsumexp(1)).to(at::kCPU, at::kDouble);
    const at::Tensor right = logits.argmax(1).eq(truth).to(at::kCPU);
    for (int64_t i = 0; i < count; ++i) {
      guesses.log_probabilities.push_back(log_p.data_ptr<double>()[i]);
      guesses.right.push_back(right.data_ptr<bool>()[i]);
    }
  }
  return guesses;
}

}  // namespace penjing::train
