#include "train/ops/reference.h"

namespace penjing::train {

at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types) {
  return reference::embed(word, ids, position, positions, type, types);
}

at::Tensor trigrams(const at::Tensor& rows, const at::Tensor& positions,
                    const std::vector<int64_t>& offsets) {
  const int64_t tokens = rows.size(0), width = rows.size(1);
  if (tokens == 0) return rows.new_zeros({0, 3 * width});
  at::Tensor ends = at::zeros({tokens, 1}, at::kBool);
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] > offsets[i - 1]) ends.data_ptr<bool>()[offsets[i] - 1] = true;
  }
  const at::Tensor zero = at::zeros({1, width}, rows.options());
  const at::Tensor next = at::cat({rows.slice(0, 1), zero}), before = at::cat({zero, rows.slice(0, 0, -1)});
  const at::Tensor none = at::zeros({}, rows.options());
  return at::cat({at::where(ends.to(rows.device()), none, next), rows,
                  at::where(positions.eq(0).unsqueeze(1), none, before)},
                 1);
}

}  // namespace penjing::train
