#pragma once

#include <memory>

#include "base/thread_pool.h"
#include "compress/method.h"
#include "model/model.h"

namespace penjing::cli {

// What a compression method gets beside the model: its texts, run by this program's runtime. Texts are
// tokenized here, at most 256 tokens each (and the model's own limit), and run eight at a time in their
// order, so that statistics do not depend on the machine.
MethodContext make_method_context(const Model& model, const CalibrationSource& options,
                                  std::shared_ptr<ThreadPool> pool);

// Makes predictors, each on a pool of so many threads (0: all that the process may use).
NewPredictor predictor_maker(int threads);

}  // namespace penjing::cli
