#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/model.h"

namespace penjing {

// MODEL of the command line: an existing folder; else a Hugging Face repository id or path in its cache
// (HF_HUB_CACHE, HF_HOME); else a name in $PENJING_CACHE/models. Throws kInput listing the places tried.
std::filesystem::path resolve_model(const std::string& name);

// $PENJING_CACHE, else $XDG_CACHE_HOME/penjing, else ~/.cache/penjing.
std::filesystem::path cache_folder();

// Reads a Hugging Face model folder: config.json, weights, Sentence-Transformers' modules, side files;
// completes and checks it (model/model.h). Weights stay mapped.
Model read_model(const std::filesystem::path& folder);

// Writes `model` as such a folder at `out`, whole or not at all. Refuses (kInput) an output that is the
// folder the model was read from, or any folder that is not empty. `extra` files replace side files of the
// same path.
void write_model(const Model& model, const std::filesystem::path& out,
                 const std::vector<SideFile>& extra = {});

// Bytes of the weight files of a folder, and of all its files.
struct FolderSize {
  std::uintmax_t weights = 0, total = 0;
};
FolderSize measure_folder(const std::filesystem::path& folder);

}  // namespace penjing
