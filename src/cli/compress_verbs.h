#pragma once

#include <functional>
#include <vector>

#include "cli/command.h"

namespace penjing::cli {

// The verbs of compress/methods.def: `penjing quantize MODEL --out DIR [--scheme ...]`, generated from the
// methods' declared parameters. Several methods of one verb are told apart by --method.
struct CompressVerb {
  CLI::App* app;
  std::function<int(const CommonOptions&)> run;
};
std::vector<CompressVerb> declare_compress_verbs(CLI::App& app);

}  // namespace penjing::cli
