#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/json.h"
#include "train/optimizer.h"

namespace penjing::train {

// A state of training from which it goes on to the same result, bit for bit, on the same kind of CPU with the
// same number of threads: FOLDER/checkpoint-<step>/ with model.safetensors (FP32 master weights),
// optimizer.safetensors, average.safetensors (where an average of the weights is kept),
// objective.safetensors (where the objective keeps tensors) and trainer_state.json, which also holds the
// sha256 of the others and of itself. Written whole or not at all. Random numbers need no state of their own:
// they are functions of seed and step (random_key.h).
struct Checkpoint {
  std::filesystem::path folder;
  int64_t step = 0;
};

struct TrainingState {
  int64_t step = 0;
  TensorMap parameters, optimizer, average, objective;
  Json json =
      Json::object();  // what else the loop keeps: scaler, best score, objective's state, settings' digest
};

// Those in `folder`, oldest first.
std::vector<Checkpoint> find_checkpoints(const std::filesystem::path& folder);
void write_checkpoint(const std::filesystem::path& folder, const TrainingState& state);
// The newest that can be read; one that is damaged is passed over with a warning. Nothing when there is none;
// kFormat when there are and all are damaged.
std::optional<TrainingState> read_newest_checkpoint(const std::filesystem::path& folder);
// Removes all but the newest `keep`.
void remove_old_checkpoints(const std::filesystem::path& folder, int64_t keep);
// Removes those of later steps: damaged ones that were passed over.
void remove_checkpoints_after(const std::filesystem::path& folder, int64_t step);
// Removes what a killed process left half-written or half-removed.
void clear_leftovers(const std::filesystem::path& folder);

TensorMap save_parameters(const Parameters& parameters);
// Every parameter must be there with its shape.
void load_parameters_from(const TensorMap& tensors, Parameters& parameters);

}  // namespace penjing::train
