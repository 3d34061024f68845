#include "train/trained_model.h"

#include "compress/provenance.h"
#include "io/model_folder.h"
#include "train/settings_digest.h"

namespace penjing::train {

void describe_training(const LoopSettings& settings, const LoopResult& result, Json& details) {
  details.set("steps", result.steps);
  details.set("settings", digest_settings(settings));
  details.set("device", settings.device);
  if (result.evaluations.empty()) return;
  Json scores = Json::object();
  for (const auto& [name, value] : result.evaluations.back().scores) scores.set(name, value);
  details.set("scores", scores);
}

void write_trained_model(const TrainedModel& trained, const Model& original, const char* method,
                         const std::filesystem::path& out) {
  std::uintmax_t bytes = 0;
  for (const auto& entry : trained.model.tensors) bytes += entry.tensor.bytes.size();
  const std::uintmax_t before = original.folder.empty() ? bytes : measure_folder(original.folder).weights;
  write_model(trained.model, out,
              describe_provenance(original, {method, *trained.details.find("settings"), trained.details},
                                  before, bytes, nullptr));
}

}  // namespace penjing::train
