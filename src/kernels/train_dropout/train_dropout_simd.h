#pragma once

// train_dropout.h over simd/rows_<isa>.h's RowVector: include that first.
#include "kernels/simd/rows.h"
#include "kernels/train_dropout/train_dropout.h"

namespace {

using penjing::train_dropout::Args;

template <typename T>
void run_rows(const Args& args) {
  const bool dropping = args.dropout.threshold != 0;
  for (int64_t row = 0; row < args.rows; ++row) {
    const int64_t begin = row * args.width;
    KeepMasks masks = {};
    for (int64_t column = 0; column < args.width; column += V::kLanes) {
      const int half = static_cast<int>(column / V::kLanes % 2);
      if (dropping && half == 0) {
        masks = draw_masks(args.dropout, static_cast<uint32_t>(column / 4),
                           static_cast<uint64_t>(args.row_keys[row]));
      }
      const int64_t at = begin + column, count = args.width - column;
      V::Float v = load_first(static_cast<const T*>(args.x) + at, count);
      if (dropping) v = drop(masks.keep[half], v, args.dropout.kept);
      if (args.residual != nullptr)
        v = V::add(load_first(static_cast<const T*>(args.residual) + at, count), v);
      store_first(static_cast<T*>(args.y) + at, v, count);
    }
  }
}

void run(const Args& args) {
  if (args.element == Element::kFloat) return run_rows<float>(args);
  run_rows<uint16_t>(args);
}

}  // namespace
