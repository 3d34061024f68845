#include "compress/provenance.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/version.h"
#include "io/safetensors.h"

namespace penjing {

namespace {

const SideFile* find_side_file(const Model& model, const std::string& path) {
  for (const SideFile& file : model.side_files) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

// A YAML scalar: plain where no reader could take it for anything else, else quoted as JSON, which is YAML.
std::string yaml_text(const std::string& text) {
  const bool plain = std::isalpha(static_cast<unsigned char>(text[0])) != 0 &&
                     std::all_of(text.begin(), text.end(), [](unsigned char c) {
                       return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                     });
  return plain ? text : Json(text).dump();
}

// The YAML head of a model card, with our keys added where the author has not set them.
std::string card_text(const Model& source, const StepRecord& step) {
  const SideFile* old = find_side_file(source, "README.md");
  std::string head, body = old == nullptr ? "" : std::string(old->text());
  if (body.starts_with("---\n")) {
    auto end = body.find("\n---\n", 3);
    if (end == std::string::npos && body.ends_with("\n---")) end = body.size() - 4;
    if (end != std::string::npos) {
      head = body.substr(4, end - 3);
      body.erase(0, std::min(end + 5, body.size()));
    }
  }
  const auto has_key = [&](const std::string& key) {
    return head.starts_with(key + ":") || head.find("\n" + key + ":") != std::string::npos;
  };
  const std::string name = source.folder.filename().string();
  if (!has_key("base_model")) head += "base_model: " + yaml_text(name.empty() ? "unknown" : name) + "\n";
  if (!has_key("base_model_relation")) head += "base_model_relation: quantized\n";
  if (!has_key("library_name")) head += "library_name: penjing\n";
  if (!has_key("tags")) head += "tags:\n- penjing\n- " + step.method + "\n";
  std::string text = "---\n" + head + "---\n\n> Compressed with Penjing: `" + step.method + "` with `" +
                     step.params.dump() + "`. See compression.json.\n";
  return text + (body.starts_with("\n") ? "" : "\n") + body;
}

}  // namespace

std::vector<SideFile> describe_provenance(const Model& source, const StepRecord& step,
                                          std::uintmax_t bytes_before, std::uintmax_t bytes_after,
                                          const Json& agreement) {
  Json inputs = Json::array();
  Json steps = Json::array();
  if (!source.folder.empty()) {
    std::vector<std::filesystem::path> files;
    (void)read_model_tensors(source.folder, &files);
    for (const auto& file : files) {
      inputs.push_back(Json::object({{"file", file.filename().string()}, {"sha256", sha256_file(file)}}));
    }
    std::error_code error;
    const auto earlier = source.folder / "compression.json";
    if (std::filesystem::exists(earlier, error)) {
      const Json old = Json::parse(read_text_file(earlier, 16u << 20), earlier.string());
      if (const Json* list = old.find("steps"); list != nullptr && list->is_array()) steps = *list;
    }
  }
  steps.push_back(
      Json::object({{"method", step.method}, {"params", step.params}, {"details", step.details}}));
  const Json record = Json::object({{"penjing", version()},
                                    {"inputs", inputs},
                                    {"steps", steps},
                                    {"bytes_before", static_cast<uint64_t>(bytes_before)},
                                    {"bytes_after", static_cast<uint64_t>(bytes_after)},
                                    {"agreement", agreement}});
  return {{"compression.json", record.dump(2) + "\n"}, {"README.md", card_text(source, step)}};
}

}  // namespace penjing
