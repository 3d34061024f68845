#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/output_file.h"
#include "io/safetensors.h"

namespace penjing::train {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "checkpoint-";
constexpr const char* kStateFile = "trainer_state.json";
constexpr const char* kParts[] = {"model.safetensors", "optimizer.safetensors", "average.safetensors",
                                  "objective.safetensors"};

std::string digest_of(const Json& state) {
  const std::string text = state.dump();
  return sha256_hex(std::as_bytes(std::span(text)));
}

// Under another name first: a half-removed folder must not be taken for a checkpoint.
void remove_checkpoint(const fs::path& folder, const Checkpoint& checkpoint) {
  const fs::path dying = folder / ("removed-" + checkpoint.folder.filename().string());
  std::error_code error;
  fs::rename(checkpoint.folder, dying, error);
  fs::remove_all(dying, error);
}

// Views into mapped files would keep a checkpoint that is removed later.
TensorMap read_all(const fs::path& path) {
  TensorMap out;
  for (const TensorMap::Entry& entry : read_safetensors(path).tensors) {
    out.set(entry.name, Tensor::from_bytes(entry.tensor.type, entry.tensor.shape,
                                           {entry.tensor.bytes.begin(), entry.tensor.bytes.end()}));
  }
  return out;
}

// Reads it whole and checks it against its digests.
TrainingState read_checkpoint(const Checkpoint& checkpoint) {
  const fs::path file = checkpoint.folder / kStateFile;
  const std::string where = file.string();
  TrainingState state;
  state.json = Json::parse(read_text_file(file, std::size_t{256} << 20), where, {std::size_t{256} << 20});
  const Json* digest = state.json.find("sha256");
  const std::string wanted = digest == nullptr ? "" : digest->as_string(where + ": sha256");
  state.json.erase("sha256");
  if (digest_of(state.json) != wanted) fail(ErrorKind::kFormat, "{}: damaged (its sha256 differs)", where);
  const Json* step = state.json.find("step");
  if (step == nullptr || step->as_int(where + ": step") != checkpoint.step) {
    fail(ErrorKind::kFormat, "{}: step is not that of its folder", where);
  }
  state.step = checkpoint.step;
  TensorMap* const into[] = {&state.parameters, &state.optimizer, &state.average, &state.objective};
  for (std::size_t i = 0; i < std::size(kParts); ++i) {
    const Json* hash = state.json.find("files")->find(kParts[i]);
    if (hash == nullptr) continue;
    const fs::path part = checkpoint.folder / kParts[i];
    if (sha256_file(part) != hash->as_string(where)) {
      fail(ErrorKind::kFormat, "{}: damaged (its sha256 differs)", part.string());
    }
    *into[i] = read_all(part);
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
  const TensorMap* const from[] = {&state.parameters, &state.optimizer, &state.average, &state.objective};
  Json files = Json::object();
  for (std::size_t i = 0; i < std::size(kParts); ++i) {
    const bool may_be_absent = from[i] == &state.average || from[i] == &state.objective;
    if (may_be_absent && from[i]->size() == 0) continue;
    write_safetensors(out.path() / kParts[i], *from[i]);
    files.set(kParts[i], sha256_file(out.path() / kParts[i]));
  }
  Json json = state.json;
  json.set("step", state.step);
  json.set("files", files);
  // Of the text as it is read back: a double that is whole comes back as an integer.
  json = Json::parse(json.dump(), kStateFile, {std::size_t{256} << 20});
  json.set("sha256", digest_of(json));
  write_text_file(out.path() / kStateFile, json.dump(2) + "\n");
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
  if (!checkpoints.empty()) {
    fail(ErrorKind::kFormat, "{}: none of its {} checkpoints can be read; remove it to begin again",
         folder.string(), checkpoints.size());
  }
  return std::nullopt;
}

void remove_old_checkpoints(const fs::path& folder, int64_t keep) {
  const std::vector<Checkpoint> checkpoints = find_checkpoints(folder);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < checkpoints.size(); ++i) {
    remove_checkpoint(folder, checkpoints[i]);
  }
}

void remove_checkpoints_after(const fs::path& folder, int64_t step) {
  for (const Checkpoint& checkpoint : find_checkpoints(folder)) {
    if (checkpoint.step > step) remove_checkpoint(folder, checkpoint);
  }
}

void clear_leftovers(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool half = name.starts_with(kPrefix) && name.find(".tmp-") != std::string::npos;
    if (half || name.starts_with("removed-" + std::string(kPrefix))) leftovers.push_back(entry.path());
  }
  for (const fs::path& path : leftovers) fs::remove_all(path, error);
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
