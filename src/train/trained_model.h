#pragma once

#include <filesystem>

#include "base/json.h"
#include "model/model.h"
#include "train/loop_settings.h"

namespace penjing::train {

// A trained model, not yet written, and what a provenance record says of its making.
struct TrainedModel {
  Model model;
  Json details;
  LoopResult loop;
};

// "steps", "settings" (the digest that a run is resumed by), "scores" of the last evaluation.
void describe_training(const LoopSettings& settings, const LoopResult& result, Json& details);

// Writes it at `out` with its provenance, as a step `method` from `original`.
void write_trained_model(const TrainedModel& trained, const Model& original, const char* method,
                         const std::filesystem::path& out);

}  // namespace penjing::train
