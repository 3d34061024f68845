// The definition in plain loops.
#include "kernels/scalar_rows.h"
#include "kernels/train_dropout/train_dropout.h"

namespace penjing::train_dropout::ref {

namespace {

template <typename T>
void run_rows(const Args& args) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const uint64_t key = args.row_keys == nullptr ? 0 : static_cast<uint64_t>(args.row_keys[row]);
    for (int64_t c = 0; c < args.width; ++c) {
      const int64_t at = row * args.width + c;
      float v = train_rows::drop(args.dropout, key, static_cast<uint32_t>(c),
                                 train_rows::load(static_cast<const T*>(args.x) + at));
      if (args.residual != nullptr) v += train_rows::load(static_cast<const T*>(args.residual) + at);
      train_rows::store(static_cast<T*>(args.y) + at, v);
    }
  }
}

void run(const Args& args) {
  if (args.element == train_rows::Element::kFloat) return run_rows<float>(args);
  run_rows<uint16_t>(args);
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, run};

}  // namespace penjing::train_dropout::ref
