#include "cli/train_commands/run_info.h"

#include <fmt/format.h>

#include "train/settings_digest.h"

namespace penjing::cli {

namespace {

template <typename Settings>
RunInfo common_info(const char* kind, const Settings& s, const std::vector<std::filesystem::path>& data) {
  RunInfo info;
  info.kind = kind;
  info.name = s.out.filename().string();
  info.model = s.model;
  info.data = data.front().string();
  info.seed = static_cast<int64_t>(s.loop.seed);
  info.settings = train::digest_settings(s.loop);
  info.settings.erase("seed");
  if (s.loop.device != "cpu") info.settings.set("device", s.loop.device);
  info.settings.set("max_length", s.max_length);
  info.settings.set("params", s.params);
  info.inputs = hash_inputs(s.model, data);
  info.threads = s.threads;
  info.output = s.out.string();
  return info;
}

}  // namespace

RunInfo run_info(const char* kind, const train::FinetuneSettings& settings) {
  RunInfo info = common_info(kind, settings, {settings.data.data});
  info.task = settings.task;
  if (settings.fake_quant) {
    info.settings.set("quantize_aware", fmt::format("w{}a{}", settings.fake_quant->weight_bits,
                                                    settings.fake_quant->activation_bits));
  }
  return info;
}

RunInfo run_info(const train::PretrainSettings& settings, const std::string& size) {
  RunInfo info = common_info("pretrain", settings, settings.data);
  info.task = "masked-lm";
  if (settings.model.empty()) info.model = size;
  return info;
}

}  // namespace penjing::cli
