#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/output_file.h"
#include "model/tensor.h"

namespace penjing {

// The content of one .safetensors file: tensors are views into its map, in the order of the file's data.
struct Safetensors {
  std::vector<std::pair<std::string, std::string>> metadata;
  TensorMap tensors;
};

// Opens a file and enforces every rule of the format; a broken one is an Error with its own code
// "safetensors.<rule>", before anything larger than the header has been touched. Header at most 100,000,000
// bytes.
Safetensors read_safetensors(const std::filesystem::path& path);

// Tensors of a model folder: model.safetensors, or the shards that model.safetensors.index.json names. Shard
// names are data: each must be a plain file name in the folder (a snapshot of the Hugging Face cache may link
// it into
// ../../blobs). `files`, when given, receives the paths read.
TensorMap read_model_tensors(const std::filesystem::path& folder,
                             std::vector<std::filesystem::path>* files = nullptr);

// Writes through OutputFile, in the reference writer's order: descending element alignment, then name; header
// padded with spaces so that the data begin at a multiple of `alignment`; metadata {"format":"pt"} plus what
// is given. Returns the file's size.
std::size_t write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                              const std::vector<std::pair<std::string, std::string>>& metadata = {},
                              std::size_t alignment = 8);

// A file of one tensor whose bytes come in parts, for what is larger than memory: the same format, through
// OutputFile.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::string& name, DType type,
                    const Shape& shape, const std::vector<std::pair<std::string, std::string>>& metadata);
  void write(std::span<const std::byte> bytes);
  void commit();  // kInternal unless as many bytes came as the shape wants

 private:
  OutputFile file_;
  std::size_t expected_ = 0;
};

// Refuses (kInput) a path below `folder` that leaves it: absolute, "..", or a symlink whose target lies
// outside, the Hugging Face cache's own blobs excepted. Returns the full path.
std::filesystem::path contained_path(const std::filesystem::path& folder, const std::string& relative);

}  // namespace penjing
