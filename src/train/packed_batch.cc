#include "train/packed_batch.h"

#include "base/error.h"

namespace penjing::train {

at::Tensor PackedBatch::first_tokens() const {
  return at::tensor(at::ArrayRef<int64_t>(offsets.data(), offsets.size() - 1), at::kLong).to(ids.device());
}

PackedBatch pack(const RaggedBatch& batch, std::vector<int64_t> samples, at::Device device) {
  if (static_cast<int64_t>(samples.size()) != batch.num_sequences()) {
    fail(ErrorKind::kInternal, "{} sequences with {} numbers", batch.num_sequences(), samples.size());
  }
  const int64_t tokens = batch.num_tokens();
  PackedBatch packed;
  packed.ids = at::empty({tokens}, at::kLong);
  packed.types = at::zeros({tokens}, at::kLong);
  packed.positions = at::empty({tokens}, at::kLong);
  packed.row_keys = at::empty({tokens}, at::kLong);
  auto* ids = packed.ids.data_ptr<int64_t>();
  auto* types = packed.types.data_ptr<int64_t>();
  auto* positions = packed.positions.data_ptr<int64_t>();
  auto* keys = packed.row_keys.data_ptr<int64_t>();
  for (int64_t s = 0; s < batch.num_sequences(); ++s) {
    for (int64_t i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i) {
      ids[i] = batch.ids[i];
      if (!batch.type_ids.empty()) types[i] = batch.type_ids[i];
      positions[i] = i - batch.offsets[s];
      keys[i] = row_key(samples[s], positions[i]);
    }
  }
  for (at::Tensor* tensor : {&packed.ids, &packed.types, &packed.positions, &packed.row_keys})
    *tensor = tensor->to(device);
  packed.offsets = batch.offsets;
  packed.samples = std::move(samples);
  return packed;
}

}  // namespace penjing::train
