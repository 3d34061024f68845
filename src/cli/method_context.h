#pragma once

#include <memory>
#include <string>

#include "base/thread_pool.h"
#include "compress/method.h"
#include "model/model.h"

namespace penjing::cli {

// Where calibration comes from: --calibration, --samples, --statistics.
struct CalibrationOptions {
  std::string texts;       // a file, a text a line; empty: the sentences that ship with the program
  int64_t samples = 300;   // of them at most
  std::string statistics;  // of an earlier run; empty: none
};

// What a compression method gets beside the model: its texts, run by this program's runtime. Texts are
// tokenized here, at most 256 tokens each (and the model's own limit), and run eight at a time in their
// order, so that statistics do not depend on the machine.
MethodContext make_method_context(const Model& model, const CalibrationOptions& options,
                                  std::shared_ptr<ThreadPool> pool);

}  // namespace penjing::cli
