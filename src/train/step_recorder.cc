#include "train/step_recorder.h"

#include <algorithm>
#include <mutex>

namespace penjing::train {

namespace {

constexpr int64_t kGrain = 1 << 16;

at::Tensor floats_of(const at::Tensor& x) {
  return x.detach().to(at::kCPU, at::kFloat).contiguous();
}
std::span<const float> part_of(const at::Tensor& x, int64_t begin, int64_t end) {
  return {x.data_ptr<float>() + begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

struct StepRecorder::State {
  std::mutex mutex;
  RecordedStep record;

  // Adds the values to the tensor of this name and role, or makes it.
  void add(const std::string& name, NumberRole role, const at::Tensor& values) {
    const at::Tensor floats = floats_of(values);
    const ExponentHistogram histogram = histogram_of(floats);
    std::array<RangeLoss, kRecordedFormats.size()> lost{};
    std::mutex sum;
    at::parallel_for(0, floats.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (std::size_t f = 0; f < lost.size(); ++f) {
        const FloatFormat& format = *find_float_format(kRecordedFormats[f]);
        const double scale = recorded_scale(format, role, histogram.largest, record.loss_scale);
        const RangeLoss part = range_loss(format, part_of(floats, begin, end), scale);
        const std::lock_guard lock(sum);
        lost[f].add(part);
      }
    });
    const std::lock_guard lock(mutex);
    RecordedTensor& tensor = find_or_add(name, role);
    tensor.histogram.add(histogram);
    for (std::size_t f = 0; f < lost.size(); ++f) tensor.lost[f].add(lost[f]);
  }

  RecordedTensor& find_or_add(const std::string& name, NumberRole role) {
    for (RecordedTensor& tensor : record.tensors) {
      if (tensor.role == role && tensor.name == name) return tensor;
    }
    RecordedTensor tensor;
    tensor.name = name;
    tensor.layer = layer_of(name);
    tensor.role = role;
    record.tensors.push_back(std::move(tensor));
    return record.tensors.back();
  }
};

StepRecorder::StepRecorder(int64_t step, std::string precision, double loss_scale, TensorTap* next)
    : state_(std::make_shared<State>()), next_(next) {
  state_->record.step = step;
  state_->record.precision = std::move(precision);
  state_->record.loss_scale = loss_scale;
}

bool StepRecorder::wants(std::string_view) {
  return true;
}

void StepRecorder::on(std::string_view site, int layer, const at::Tensor& rows) {
  if (next_ != nullptr && next_->wants(site)) next_->on(site, layer, rows);
  std::string name(site);
  if (seen_.contains(name)) seen_.clear();  // the next micro batch
  const bool shown =
      std::any_of(seen_.begin(), seen_.end(), [&](const auto& entry) { return entry.second.is_same(rows); });
  seen_.emplace(name, rows);
  if (shown) return;
  state_->add(name, NumberRole::kActivation, rows);
  if (!rows.requires_grad()) return;
  rows.register_hook([state = state_, name](const at::Tensor& gradient) {
    state->add(name, NumberRole::kActivationGradient, gradient.to(at::kFloat) / state->record.loss_scale);
  });
}

bool StepRecorder::wants_scores(int layer) {
  return next_ != nullptr && next_->wants_scores(layer);
}

void StepRecorder::on_scores(int layer, const AttentionScores& scores) {
  if (next_ != nullptr) next_->on_scores(layer, scores);
}

void StepRecorder::on_gradients(const Parameters& parameters) {
  seen_.clear();
  for (const Parameters::Entry& entry : parameters) {
    if (entry.tensor.grad().defined())
      state_->add(entry.name, NumberRole::kWeightGradient, entry.tensor.grad());
  }
}

void StepRecorder::before_update(const Parameters& parameters) {
  for (const Parameters::Entry& entry : parameters) {
    state_->add(entry.name, NumberRole::kWeight, entry.tensor);
    before_[entry.name] = floats_of(entry.tensor).clone();
  }
}

void StepRecorder::after_update(const Parameters& parameters) {
  for (const Parameters::Entry& entry : parameters) {
    const auto found = before_.find(entry.name);
    if (found == before_.end()) continue;
    const at::Tensor before = found->second, after = floats_of(entry.tensor);
    const at::Tensor update = after - before;
    if (!update.any().item<bool>()) continue;
    state_->add(entry.name, NumberRole::kUpdate, update);
    std::array<int64_t, kSwampFormats.size()> swamped{};
    std::mutex sum;
    at::parallel_for(0, after.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (std::size_t f = 0; f < swamped.size(); ++f) {
        const int64_t part = count_swamped(*find_float_format(kSwampFormats[f]), part_of(before, begin, end),
                                           part_of(after, begin, end));
        const std::lock_guard lock(sum);
        swamped[f] += part;
      }
    });
    state_->find_or_add(entry.name, NumberRole::kUpdate).swamped = swamped;
  }
  before_.clear();
}

const RecordedStep& StepRecorder::record() const {
  return state_->record;
}

}  // namespace penjing::train
