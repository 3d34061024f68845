#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/output_file.h"
#include "io/safetensors.h"

namespace penjing::train {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "checkpoint-";

// Views into mapped files would keep a checkpoint that is removed later.
TensorMap read_all(const fs::path& path) {
  TensorMap out;
  for (const TensorMap::Entry& entry : read_safetensors(path).tensors) {
    out.set(entry.name, Tensor::from_bytes(entry.tensor.type, entry.tensor.shape,
                                           {entry.tensor.bytes.begin(), entry.tensor.bytes.end()}));
  }
  return out;
}

TrainingState read_checkpoint(const Checkpoint& checkpoint) {
  const fs::path file = checkpoint.folder / "trainer_state.json";
  TrainingState state;
  state.json =
      Json::parse(read_text_file(file, std::size_t{256} << 20), file.string(), {std::size_t{256} << 20});
  const Json* step = state.json.find("step");
  if (step == nullptr || step->as_int(file.string() + ": step") != checkpoint.step) {
    fail(ErrorKind::kFormat, "{}: step is not that of its folder", file.string());
  }
  state.step = checkpoint.step;
  state.parameters = read_all(checkpoint.folder / "model.safetensors");
  state.optimizer = read_all(checkpoint.folder / "optimizer.safetensors");
  if (fs::exists(checkpoint.folder / "average.safetensors")) {
    state.average = read_all(checkpoint.folder / "average.safetensors");
  }
  return state;
}

}  // namespace

std::vector<Checkpoint> find_checkpoints(const fs::path& folder) {
  std::vector<Checkpoint> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !entry.is_directory(error)) continue;
    int64_t step = 0;
    const char* begin = name.data() + kPrefix.size();
    const auto [end, problem] = std::from_chars(begin, name.data() + name.size(), step);
    if (problem == std::errc() && end == name.data() + name.size()) found.push_back({entry.path(), step});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return found;
}

void write_checkpoint(const fs::path& folder, const TrainingState& state) {
  const fs::path target = folder / fmt::format("{}{}", kPrefix, state.step);
  if (fs::exists(target)) return;  // this very state, by exactness
  OutputFolder out(target);
  write_safetensors(out.path() / "model.safetensors", state.parameters);
  write_safetensors(out.path() / "optimizer.safetensors", state.optimizer);
  if (state.average.size() > 0) write_safetensors(out.path() / "average.safetensors", state.average);
  Json json = state.json;
  json.set("step", state.step);
  write_text_file(out.path() / "trainer_state.json", json.dump(2) + "\n");
  out.commit();
}

std::optional<TrainingState> read_newest_checkpoint(const fs::path& folder) {
  std::vector<Checkpoint> checkpoints = find_checkpoints(folder);
  for (auto at = checkpoints.rbegin(); at != checkpoints.rend(); ++at) {
    try {
      return read_checkpoint(*at);
    } catch (const Error& error) {
      log_warning("checkpoint of step {} cannot be used: {}", at->step, error.what());
    }
  }
  return std::nullopt;
}

void remove_old_checkpoints(const fs::path& folder, int keep) {
  std::vector<Checkpoint> checkpoints = find_checkpoints(folder);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < checkpoints.size(); ++i) {
    // Under another name first: a half-removed folder must not be taken for a checkpoint.
    const fs::path dying = folder / ("removed-" + checkpoints[i].folder.filename().string());
    std::error_code error;
    fs::rename(checkpoints[i].folder, dying, error);
    fs::remove_all(dying, error);
  }
}

TensorMap save_parameters(const Parameters& parameters) {
  TensorMap out;
  for (const Parameters::Entry& entry : parameters) out.set(entry.name, from_torch(entry.tensor));
  return out;
}

void load_parameters_from(const TensorMap& tensors, Parameters& parameters) {
  const at::NoGradGuard no_gradient;
  for (const Parameters::Entry& entry : parameters) {
    const at::Tensor values = to_torch(tensors.at(entry.name), entry.name);
    if (values.sizes() != entry.tensor.sizes()) {
      fail(ErrorKind::kFormat, "tensor {}: {} values, wanted {}", entry.name, values.numel(),
           entry.tensor.numel());
    }
    entry.tensor.copy_(values);
  }
}

}  // namespace penjing::train
