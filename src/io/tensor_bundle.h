#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/tensor.h"

namespace penjing {

// A TensorFlow tensor bundle: PREFIX.index, a LevelDB table of BundleEntryProto, and
// PREFIX.data-0000N-of-0000M with the raw tensors. Entries that are no plain float or integer arrays
// (strings, resources) are listed in `skipped`.
struct TensorBundle {
  TensorMap tensors;
  std::vector<std::string> skipped;
};

// Reads the bundle; checks the masked crc32c of every table block and of every tensor's bytes. Throws kFormat
// naming file, tensor or offset; memory is that of the index (at most 64 MiB), data stays mapped.
TensorBundle read_tensor_bundle(const std::filesystem::path& prefix);

// The (key, value) pairs of a LevelDB table in `bytes`, in order; `name` starts error messages.
std::vector<std::pair<std::string, std::string>> read_leveldb_table(std::span<const std::byte> bytes,
                                                                    const std::string& name);

}  // namespace penjing
