#pragma once

#include <string>
#include <vector>

#include "compress/method.h"

namespace penjing {

// One compression step as it was run.
struct StepRecord {
  std::string method;
  Json params;
  Json details;
};

// The files that say where a compressed model comes from: compression.json (tool version, hashes of the
// input's weights, steps with resolved parameters, sizes, agreement when measured) and the README.md with a
// model card head. Never needed to load the model. `source` is the folder that was read; earlier steps in its
// compression.json are kept.
std::vector<SideFile> describe_provenance(const Model& source, const StepRecord& step,
                                          std::uintmax_t bytes_before, std::uintmax_t bytes_after,
                                          const Json& agreement);

}  // namespace penjing
