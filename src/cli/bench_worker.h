#pragma once

#include "cli/loaded_model.h"

namespace penjing::cli {

// The loop of `penjing bench MODEL --worker`: JSON lines on standard input, one reply a line, until the end
// of the input. bench/rivals.py speaks so with every engine:
//   {"op": "peaks"}                             {"isa": "...", "fp32": FLOP/s, "bf16": FLOP/s, "int8": OP/s}
//   {"op": "load", "batches": [[[ids]]]}        {"rows": [[...]], "flops": N, "arithmetic": "int8"}: of every
//                                               text the mean of its hidden states, of length 1; the batches
//                                               are kept for
//   {"op": "time", "seconds": S}                {"ms": [...]}: each time that all batches were run, S seconds
//   long
//   {"op": "memory"}                            {"peak_bytes": N}
void run_bench_worker(LoadedModel& loaded);

}  // namespace penjing::cli
