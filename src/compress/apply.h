#pragma once

#include <filesystem>

#include "compress/method.h"
#include "io/model_folder.h"

namespace penjing {

// One method on one model folder, written as another: `out` appears whole or not at all, with its provenance
// (compress/provenance.h). The result is checked, values included, before it is written. The same input,
// parameters and calibration give the same bytes. recorded: the parameters as the provenance tells them,
// where `params` hold folders that say nothing to others; null: `params`.
struct AppliedMethod {
  MethodReport report;
  FolderSize before, after;
};
AppliedMethod apply_method(const Model& source, const Method& method, const Json& params,
                           MethodContext& context, const std::filesystem::path& out,
                           const Json* recorded = nullptr);

}  // namespace penjing
