#include "io/pack_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "io/crc32c.h"
#include "io/safetensors.h"

namespace penjing {

namespace {

constexpr std::size_t kAlignment = 64;

struct SourceFile {
  std::string name;
  int64_t size = 0, time = 0;  // nanoseconds
};

// The files that a pack depends on.
std::vector<SourceFile> list_source_files(const std::filesystem::path& model) {
  std::vector<SourceFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(model)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".safetensors" && name != "config.json" && name != "tokenizer.json" &&
        name != "tokenizer_config.json" && name != "vocab.txt")
      continue;
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    files.push_back(
        {name, int64_t{info.st_size}, int64_t{info.st_mtim.tv_sec} * 1000000000 + info.st_mtim.tv_nsec});
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
  return files;
}

using Metadata = std::vector<std::pair<std::string, std::string>>;

// Of everything that the file says but the checksum itself; arrays in the order of their names, which is not
// that of the file.
std::string checksum(const Metadata& metadata, const TensorMap& tensors) {
  uint32_t crc = 0;
  const auto add = [&crc](const std::string& text) {
    crc = crc32c(std::as_bytes(std::span(text)), crc32c(std::as_bytes(std::span("|", 1)), crc));
  };
  for (const auto& [key, value] : metadata) {
    if (key == "crc32c" || key == "format") continue;
    add(key);
    add(value);
  }
  std::vector<const TensorMap::Entry*> order;
  for (const auto& entry : tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(),
            [](const TensorMap::Entry* a, const TensorMap::Entry* b) { return a->name < b->name; });
  for (const TensorMap::Entry* entry : order) {
    add(fmt::format("{} {} {}", entry->name, name_of(entry->tensor.type), to_string(entry->tensor.shape)));
    crc = crc32c(entry->tensor.bytes, crc);
  }
  return std::to_string(crc);
}

// Empty when the pack was made from the files that are there.
std::string find_difference(const std::filesystem::path& model, const Json& sources, bool thorough) {
  const std::vector<SourceFile> files = list_source_files(model);
  const auto& recorded = sources.as_array("files");
  if (recorded.size() != files.size()) return "the model has other files now";
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Json *name = recorded[i].find("name"), *size = recorded[i].find("size"),
               *time = recorded[i].find("time"), *hash = recorded[i].find("sha256");
    if (name == nullptr || size == nullptr || time == nullptr || hash == nullptr)
      return "its list of files is broken";
    if (name->as_string("name") != files[i].name) return "the model has other files now";
    if (size->as_int("size") != files[i].size) return files[i].name + " has changed";
    if ((thorough || time->as_int("time") != files[i].time) &&
        sha256_file(model / files[i].name) != hash->as_string("sha256"))
      return files[i].name + " has changed";
  }
  return "";
}

}  // namespace

std::filesystem::path pack_path(const std::filesystem::path& model, std::string_view isa) {
  return model / fmt::format("penjing.{}.pack", isa);
}

std::size_t write_pack(const std::filesystem::path& model, std::string_view isa, const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor.bytes.size() % kAlignment != 0)
      fail(ErrorKind::kInternal, "pack: {} has {} bytes, no multiple of {}", name, tensor.bytes.size(),
           kAlignment);
  }
  Json files = Json::array();
  for (const SourceFile& file : list_source_files(model)) {
    files.push_back(Json::object({{"name", file.name},
                                  {"size", file.size},
                                  {"time", file.time},
                                  {"sha256", sha256_file(model / file.name)}}));
  }
  Metadata metadata = {
      {"penjing.pack", std::to_string(kPackVersion)}, {"isa", std::string(isa)}, {"files", files.dump()}};
  metadata.emplace_back("crc32c", checksum(metadata, tensors));
  return write_safetensors(pack_path(model, isa), tensors, metadata, kAlignment);
}

Pack read_pack(const std::filesystem::path& model, std::string_view isa, bool thorough) {
  Pack pack;
  const auto path = pack_path(model, isa);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return pack;
  const auto refuse = [&](PackState state, std::string reason) {
    return Pack{state, std::move(reason), nullptr};
  };
  try {
    Safetensors file = read_safetensors(path);
    const auto find = [&](std::string_view key) -> std::string {
      for (const auto& [name, value] : file.metadata) {
        if (name == key) return value;
      }
      return "";
    };
    if (find("penjing.pack") != std::to_string(kPackVersion) || find("isa") != isa)
      return refuse(PackState::kStale, "another version of Penjing wrote it");
    if (find("crc32c") != checksum(file.metadata, file.tensors))
      return refuse(PackState::kDamaged, "its checksum is wrong");
    std::string difference = find_difference(model, Json::parse(find("files"), "files"), thorough);
    if (!difference.empty()) return refuse(PackState::kStale, std::move(difference));
    pack.tensors = std::make_shared<const TensorMap>(std::move(file.tensors));
    pack.state = PackState::kUsable;
    return pack;
  } catch (const Error& broken) {
    return refuse(PackState::kDamaged, broken.what());
  }
}

}  // namespace penjing
