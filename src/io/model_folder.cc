#include "io/model_folder.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/output_file.h"
#include "io/packed_weights.h"
#include "io/safetensors.h"
#include "io/sentence_modules.h"

namespace penjing {

namespace {

// Side files carried through: text, small. Anything larger or of another kind (weights, onnx/, images) stays
// behind.
constexpr std::size_t kMaxSideFileBytes = 32u << 20;
constexpr std::size_t kMaxReadBytes = 64u << 10;  // larger ones are mapped: most runs never look at them
constexpr std::size_t kMaxConfigBytes = 16u << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

bool is_carried(const std::filesystem::path& relative) {
  const std::string extension = relative.extension().string(), name = relative.filename().string();
  if (name == "config.json" && !relative.has_parent_path()) return false;
  if (name == "compression.json" || name.ends_with(".index.json")) return false;
  return extension == ".json" || extension == ".txt" || extension == ".md" || extension == ".model" ||
         name == "LICENSE";
}

std::vector<SideFile> read_side_files(const std::filesystem::path& folder) {
  std::vector<SideFile> files;
  const auto take = [&](const std::filesystem::path& relative) {
    const auto path = contained_path(folder, relative.generic_string());
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error) ||
        std::filesystem::file_size(path, error) > kMaxSideFileBytes)
      return;
    if (std::filesystem::file_size(path, error) > kMaxReadBytes) {
      files.push_back({relative.generic_string(), "", MappedFile::open(path)});
    } else {
      files.push_back({relative.generic_string(), read_text_file(path, kMaxReadBytes)});
    }
  };
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto relative = entry.path().filename();
    if (entry.is_directory() && !entry.is_symlink()) {
      // Module folders of Sentence-Transformers: "1_Pooling"; one level, their weights come from the model's
      // tensors.
      const std::string name = relative.string();
      if (name.empty() || name[0] < '0' || name[0] > '9' || name.find('_') == std::string::npos) continue;
      for (const auto& inner : std::filesystem::directory_iterator(entry.path())) {
        if (is_carried(relative / inner.path().filename())) take(relative / inner.path().filename());
      }
    } else if (is_carried(relative)) {
      take(relative);
    }
  }
  std::sort(files.begin(), files.end(), [](const SideFile& a, const SideFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace

std::filesystem::path cache_folder() {
  if (const std::string own = environment("PENJING_CACHE"); !own.empty()) return own;
  if (const std::string xdg = environment("XDG_CACHE_HOME"); !xdg.empty())
    return std::filesystem::path(xdg) / "penjing";
  return std::filesystem::path(environment("HOME")) / ".cache" / "penjing";
}

std::filesystem::path resolve_model(const std::string& name) {
  if (name.empty()) fail(ErrorKind::kInput, "the model's name is empty");
  if (is_folder(name)) return name;
  std::vector<std::string> tried = {name};

  std::filesystem::path hub = environment("HF_HUB_CACHE");
  if (hub.empty()) {
    const std::string home = environment("HF_HOME");
    hub = (home.empty() ? std::filesystem::path(environment("HOME")) / ".cache" / "huggingface"
                        : std::filesystem::path(home)) /
          "hub";
  }
  const bool plain = name.front() != '/' && name.front() != '.' && name.find("..") == std::string::npos;
  if (plain && std::count(name.begin(), name.end(), '/') <= 1) {
    std::string repository = "models--" + name;
    if (const auto slash = repository.find('/'); slash != std::string::npos)
      repository.replace(slash, 1, "--");
    const auto root = hub / repository;
    std::error_code error;
    if (std::filesystem::exists(root / "refs" / "main", error)) {
      std::string commit = read_text_file(root / "refs" / "main", 256);
      commit.erase(
          std::find_if(commit.begin(), commit.end(), [](char c) { return c <= ' ' || c == '/' || c == '.'; }),
          commit.end());
      if (!commit.empty() && is_folder(root / "snapshots" / commit)) return root / "snapshots" / commit;
    }
    tried.push_back(root.string());
  }
  if (plain) {
    const auto cached = cache_folder() / "models" / name;
    if (is_folder(cached)) return cached;
    tried.push_back(cached.string());
  }
  std::string places;
  for (const auto& place : tried) places += (places.empty() ? "" : ", ") + place;
  fail(ErrorKind::kInput, "model \"{}\" not found; looked at: {}", name, places);
}

Model read_model(const std::filesystem::path& folder) {
  if (!is_folder(folder)) fail(ErrorKind::kInput, "{}: not a model folder", folder.string());
  std::error_code error;
  if (!std::filesystem::exists(folder / "config.json", error)) {
    fail(ErrorKind::kInput, "{}: no config.json; wanted a Hugging Face model folder", folder.string());
  }
  Model model;
  model.folder = folder;
  const auto config_path = contained_path(folder, "config.json");
  model.config = Json::parse(read_text_file(config_path, kMaxConfigBytes), config_path.string());
  (void)model.config.as_object(config_path.string());
  model.tensors = unpack_weights(read_model_tensors(folder), model.config);
  try {
    complete_model(model);
  } catch (const Error& error_without_folder) {
    throw Error(error_without_folder.kind(), folder.string() + ": " + error_without_folder.what(),
                error_without_folder.code());
  }
  read_sentence_modules(folder, model);
  model.side_files = read_side_files(folder);
  return model;
}

void write_model(const Model& model, const std::filesystem::path& out, const std::vector<SideFile>& extra) {
  std::error_code error;
  if (!model.folder.empty() && std::filesystem::exists(out, error) &&
      std::filesystem::equivalent(model.folder, out, error)) {
    fail(ErrorKind::kInput, "{}: the output is the input; nothing is ever changed in place", out.string());
  }
  OutputFolder folder(out);
  // Dense modules of Sentence-Transformers keep their own weight files.
  TensorMap encoder;
  const StoredNames stored_name(model);
  std::vector<std::pair<std::string, TensorMap>> modules;
  for (const auto& module : model.sentence.modules) {
    if (module.kind != SentenceModule::Kind::kDense) continue;
    modules.emplace_back(module.dense.name.substr(0, module.dense.name.rfind('.')), TensorMap{});
  }
  for (const auto& [name, tensor] : pack_weights(model.tensors, model.config, model.description)) {
    bool placed = false;
    for (auto& [prefix, tensors] : modules) {
      if (!name.starts_with(prefix + ".")) continue;
      tensors.set(name.substr(prefix.size() + 1), tensor);
      placed = true;
    }
    if (!placed) encoder.set(stored_name(name), tensor);
  }
  write_safetensors(folder.path() / "model.safetensors", encoder);
  write_text_file(folder.path() / "config.json", model.config.dump(2) + "\n");
  const auto write_side = [&](const SideFile& file) {
    const auto path = contained_path(folder.path(), file.path);
    std::filesystem::create_directories(path.parent_path(), error);
    write_text_file(path, file.text());
    if (file.file != nullptr) file.file->check();
  };
  for (const SideFile& file : model.side_files) {
    const bool replaced =
        std::any_of(extra.begin(), extra.end(), [&](const SideFile& e) { return e.path == file.path; });
    if (!replaced) write_side(file);
  }
  for (const SideFile& file : extra) write_side(file);
  for (const auto& [prefix, tensors] : modules) {
    std::filesystem::create_directories(folder.path() / prefix, error);
    write_safetensors(folder.path() / prefix / "model.safetensors", tensors);
  }
  folder.commit();
}

FolderSize measure_folder(const std::filesystem::path& folder) {
  FolderSize size;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (!entry.is_regular_file(error)) continue;
    const auto bytes = entry.file_size(error);
    size.total += bytes;
    if (entry.path().extension() == ".safetensors") size.weights += bytes;
  }
  return size;
}

}  // namespace penjing
