#pragma once

#include <cstdint>
#include <string_view>

namespace penjing {

// The one way to see activations (docs/decisions.md, "Seeing inside"): calibration, `verify --per-layer`,
// sensitivity and distillation use it. Implemented by the runtime and by the trainer.
class Tap {
 public:
  virtual ~Tap() = default;

  // Asked once a site before a forward; a site nobody wants costs nothing.
  virtual bool wants(std::string_view site) = 0;

  // site: canonical Hugging Face module name plus ".in" or ".out" ("encoder.layer.0.attention.self.query.in",
  // "embeddings.LayerNorm.out"); a linear layer's .out is before its activation and residual. layer: of the
  // block, -1 outside the layers. A batch that is split for its size is several forwards in turn. rows:
  // [num_rows, dim] row-major, tokens of the batch in packed order; valid during the call only. Called from
  // the thread that runs predict(), in the order of the forward pass.
  virtual void on(std::string_view site, int layer, const float* rows, int64_t num_rows, int64_t dim) = 0;
};

}  // namespace penjing
