#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "model/tensor.h"
#include "runtime/engine.h"
#include "text/tokenizer.h"

namespace penjing::cli {

// What `penjing pack` stored beside a model, for Engine::build and Tokenizer::load; both empty without a
// usable pack for this CPU, of which a warning says why when there is one.
struct StoredModel {
  std::shared_ptr<const TensorMap> tensors;
  std::optional<StoredTokenizer> tokenizer;
};
StoredModel read_stored(const std::filesystem::path& folder);

// Writes the pack; returns its size.
std::size_t write_stored(const std::filesystem::path& folder, const Engine& engine,
                         const Tokenizer& tokenizer);

// The class of CPU that packs are made for here, PENJING_ISA regarded.
std::string pack_isa();

}  // namespace penjing::cli
