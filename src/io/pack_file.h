#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/tensor.h"

namespace penjing {

// What a program derives from a model's files before it can run it, stored beside them so that the next start
// only maps it: MODEL/penjing.ISA.pack, one for each class of CPU. A .safetensors file whose arrays begin at
// multiples of 64 bytes; its metadata name the files it was made from with size, time and SHA-256, the
// version of the arrays' layouts and the CRC-32C of the arrays. What the arrays mean is the business of those
// who gave them.

// To be raised with every change of a packed layout (kernels/, runtime/linear_packer.h, text/vocabulary.h);
// tests/runtime/pack_test.cc fails when a layout changes and this does not.
inline constexpr int kPackVersion = 3;

std::filesystem::path pack_path(const std::filesystem::path& model, std::string_view isa);

// Writes the pack of the model folder as it is now. Returns the file's size.
std::size_t write_pack(const std::filesystem::path& model, std::string_view isa, const TensorMap& tensors);

enum class PackState {
  kNone,     // there is no pack for this class of CPU
  kUsable,   // made from the files that are there now
  kStale,    // made from others, or by another version
  kDamaged,  // its own bytes have changed
};
struct Pack {
  PackState state = PackState::kNone;
  std::string reason;                        // of kStale and kDamaged
  std::shared_ptr<const TensorMap> tensors;  // kUsable: views into the mapped file
};
// Files of the model whose size and time are as recorded are taken to be the same; others are hashed. With
// `thorough` all are hashed. Does not throw for a bad pack: the model runs without it.
Pack read_pack(const std::filesystem::path& model, std::string_view isa, bool thorough = false);

}  // namespace penjing
