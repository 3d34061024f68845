#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "model/model.h"
#include "model/tensor.h"
#include "predict/predictor.h"
#include "runtime/linear_op.h"
#include "runtime/step_observer.h"

namespace penjing {

struct EngineOptions {
  std::vector<OutputKind> heads;  // which heads to pack; empty: all the model has
  std::shared_ptr<const TensorMap> stored =
      nullptr;  // packed_tensors() of an engine of the same model, or null
};

// The encoder's matrices of one kind: how their products are computed.
struct ProductKind {
  Arithmetic arithmetic = Arithmetic::kF32;
  bool sparse = false;  // skips blocks of zeros
  int64_t matrices = 0;
  double share = 0;        // of the operations of all kinds, zeros counted
  double zero_blocks = 0;  // of this kind, weighted by operations
};

// How one matrix of the encoder is multiplied.
struct ProductChoice {
  std::string name;    // of the first layer that uses it
  std::string kernel;  // family and instruction set
  int64_t out = 0, in = 0;
  bool sparse = false;
  double zero_blocks = 0;  // share of 4x1 blocks that are zero
  double worthwhile =
      0;  // from which share of them on the sparse kernel would have been taken; 1: there is none
};

// A model's weights packed for the chosen kernels, and its plan. Immutable: any number of sessions in any
// threads share it. Keeps the model's mapped files alive where it still reads them (word embeddings) and
// checks them for poisoning after each forward.
class Engine {
 public:
  static std::shared_ptr<const Engine> build(const Model& model, const EngineOptions& options = {});
  virtual ~Engine() = default;

  // A session owns its scratch memory, grown to the largest batch it has seen, bounded by splitting batches
  // of more than `max_batch_tokens` tokens at sequence borders; one call at a time. The pool is shared.
  // observer (may be null) sees the time of every step and must outlive the session.
  virtual std::unique_ptr<Predictor> new_session(std::shared_ptr<ThreadPool> pool,
                                                 int64_t max_batch_tokens = 16384,
                                                 StepObserver* observer = nullptr) const = 0;
  virtual std::size_t packed_bytes() const = 0;
  // The packed matrices, for a later build() on a CPU like this one (see EngineOptions).
  virtual TensorMap packed_tensors() const = 0;
  virtual const Description& description() const = 0;
  virtual std::vector<ProductKind> product_kinds() const = 0;      // the largest share first
  virtual std::vector<ProductChoice> product_choices() const = 0;  // in the order of the layers
};

}  // namespace penjing
