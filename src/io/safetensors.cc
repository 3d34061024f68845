#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <system_error>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/output_file.h"

namespace penjing {

namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are used in place; big-endian needs a copy");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxRank = 64;

struct Entry {
  std::string name;
  DType type = DType::kF32;
  Shape shape;
  uint64_t begin = 0, end = 0;
};

// The header as a stream: {"name": {"dtype": S, "shape": [N...], "data_offsets": [B, E]}, "__metadata__": {S:
// S}}. Memory is that of the entries, never of a tree.
class HeaderReader : public JsonHandler {
 public:
  explicit HeaderReader(std::string file) : file_(std::move(file)) {}

  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;

  void on_null() override { value("null"); }
  void on_bool(bool) override { value("a boolean"); }
  void on_double(double v) override {
    if (state_ == State::kShape || state_ == State::kOffsets) {
      refuse("bad_number", "{}: {} is not an integer below 2^63", where(), v);
    }
    value("a number");
  }
  void on_int(int64_t v) override {
    if (state_ == State::kShape) {
      if (v < 0) refuse("negative_dimension", "{}: dimension {}", where(), v);
      if (current_.shape.size() == kMaxRank) refuse("rank", "{}: more than {} dimensions", where(), kMaxRank);
      current_.shape.push_back(v);
    } else if (state_ == State::kOffsets) {
      if (v < 0) refuse("negative_offset", "{}: offset {}", where(), v);
      if (num_offsets_ >= 2) refuse("offsets_count", "{}: more than two data_offsets", where());
      (num_offsets_++ == 0 ? current_.begin : current_.end) = static_cast<uint64_t>(v);
    } else {
      value("an integer");
    }
  }
  void on_string(std::string&& text) override {
    if (state_ == State::kMetadata) {
      metadata.emplace_back(key_, std::move(text));
    } else if (state_ == State::kTensor && key_ == "dtype") {
      if (!parse_dtype(text, current_.type))
        refuse("dtype", "{}: unknown dtype \"{}\"", where(), text.substr(0, 40));
    } else {
      value("a string");
    }
  }
  void on_key(std::string&& key) override {
    if (key.find('\0') != std::string::npos) refuse("nul_in_name", "{}: a name holds a NUL byte", file_);
    if (state_ == State::kTop) {
      if (!names_.insert(key).second) refuse("duplicate_key", "{}: two entries \"{}\"", file_, key);
      current_ = {};
      current_.name = key;
    } else if (state_ == State::kTensor) {
      const int bit = key == "dtype" ? 1 : key == "shape" ? 2 : key == "data_offsets" ? 4 : 0;
      if (bit == 0) refuse("unknown_key", "{}: unknown key \"{}\"", where(), key.substr(0, 60));
      if ((seen_ & bit) != 0) refuse("duplicate_key", "{}: two keys \"{}\"", where(), key);
      seen_ |= bit;
    } else if (state_ == State::kMetadata) {
      for (const auto& entry : metadata) {
        if (entry.first == key) refuse("duplicate_key", "{}: two metadata keys \"{}\"", file_, key);
      }
    }
    key_ = std::move(key);
  }
  void begin_object() override {
    if (state_ == State::kStart) {
      state_ = State::kTop;
    } else if (state_ == State::kTop && key_ == "__metadata__") {
      state_ = State::kMetadata;
    } else if (state_ == State::kTop) {
      state_ = State::kTensor;
      seen_ = 0;
      num_offsets_ = 0;
    } else {
      value("an object");
    }
  }
  void end_object() override {
    if (state_ == State::kTensor) {
      if (seen_ != 7) {
        refuse("missing_key", "{}: {} is missing", where(),
               (seen_ & 1) == 0   ? "dtype"
               : (seen_ & 2) == 0 ? "shape"
                                  : "data_offsets");
      }
      if (num_offsets_ != 2)
        refuse("offsets_count", "{}: wanted two data_offsets, found {}", where(), num_offsets_);
      entries.push_back(std::move(current_));
      state_ = State::kTop;
    } else if (state_ == State::kMetadata) {
      state_ = State::kTop;
    }
  }
  void begin_array() override {
    if (state_ == State::kTensor && key_ == "shape") {
      state_ = State::kShape;
    } else if (state_ == State::kTensor && key_ == "data_offsets") {
      state_ = State::kOffsets;
    } else {
      value("an array");
    }
  }
  void end_array() override { state_ = State::kTensor; }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets };

  std::string where() const { return fmt::format("{}: tensor \"{}\"", file_, current_.name.substr(0, 200)); }
  template <typename... Args>
  [[noreturn]] void refuse(const char* rule, fmt::format_string<Args...> format, Args&&... args) {
    throw Error(ErrorKind::kFormat, fmt::format(format, std::forward<Args>(args)...),
                std::string("safetensors.") + rule);
  }
  [[noreturn]] void value(const char* found) {
    switch (state_) {
      case State::kStart:
        refuse("header_not_object", "{}: the header is {}, wanted an object", file_, found);
      case State::kMetadata:
        refuse("metadata_value", "{}: __metadata__ \"{}\" is {}, wanted a string", file_, key_.substr(0, 60),
               found);
      case State::kTop:
        refuse("entry_not_object", "{}: entry \"{}\" is {}, wanted an object", file_, key_, found);
      default:
        refuse("value_type", "{}: key \"{}\" holds {}", where(), key_, found);
    }
  }

  std::string file_;
  State state_ = State::kStart;
  std::string key_;
  Entry current_;
  int seen_ = 0, num_offsets_ = 0;
  std::unordered_set<std::string> names_;
};

void check_spans(const std::string& file, std::vector<Entry>& entries, uint64_t data_bytes) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t expected = 0;
  for (const Entry& entry : entries) {
    const auto where = fmt::format("{}: tensor \"{}\"", file, entry.name.substr(0, 200));
    if (entry.end < entry.begin) {
      fail_rule(ErrorKind::kFormat, "safetensors.reversed_offsets", "{}: data_offsets [{}, {}] run backwards",
                where, entry.begin, entry.end);
    }
    if (entry.end > data_bytes) {
      fail_rule(ErrorKind::kFormat, "safetensors.out_of_file",
                "{}: data_offsets [{}, {}] beyond the {} bytes of data", where, entry.begin, entry.end,
                data_bytes);
    }
    if (entry.begin < expected) {
      fail_rule(ErrorKind::kFormat, "safetensors.overlap",
                "{}: data_offsets [{}, {}] overlap another tensor's", where, entry.begin, entry.end);
    }
    if (entry.begin > expected) {
      fail_rule(ErrorKind::kFormat, "safetensors.hole", "{}: bytes [{}, {}) before it belong to no tensor",
                where, expected, entry.begin);
    }
    uint64_t bits = static_cast<uint64_t>(bits_of(entry.type));
    for (const int64_t size : entry.shape) {
      if (__builtin_mul_overflow(bits, static_cast<uint64_t>(size), &bits)) {
        fail_rule(ErrorKind::kFormat, "safetensors.shape_overflow", "{}: shape {} overflows", where,
                  to_string(entry.shape));
      }
    }
    if (bits % 8 != 0) {
      fail_rule(ErrorKind::kFormat, "safetensors.misaligned_bits",
                "{}: {} elements of {} do not fill whole bytes", where, to_string(entry.shape),
                name_of(entry.type));
    }
    if (bits / 8 != entry.end - entry.begin) {
      fail_rule(ErrorKind::kFormat, "safetensors.size_mismatch",
                "{}: {} of shape {} needs {} bytes, data_offsets span {}", where, name_of(entry.type),
                to_string(entry.shape), bits / 8, entry.end - entry.begin);
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    fail_rule(ErrorKind::kFormat, "safetensors.trailing_bytes",
              "{}: {} bytes after the last tensor belong to none", file, data_bytes - expected);
  }
}

}  // namespace

Safetensors read_safetensors(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  const std::string name = path.string();
  if (bytes.size() < 8) {
    fail_rule(ErrorKind::kFormat, "safetensors.too_short", "{}: {} bytes; a safetensors file has at least 8",
              name, bytes.size());
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > kMaxHeaderBytes) {
    fail_rule(ErrorKind::kFormat, "safetensors.header_too_long",
              "{}: header of {} bytes; at most {} are allowed", name, header_bytes, kMaxHeaderBytes);
  }
  if (header_bytes > bytes.size() - 8) {
    fail_rule(ErrorKind::kFormat, "safetensors.header_out_of_file", "{}: header of {} bytes in a file of {}",
              name, header_bytes, bytes.size());
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes);
  if (header.empty() || header.front() != '{') {
    fail_rule(ErrorKind::kFormat, "safetensors.header_start", "{}: the header does not start with '{{'",
              name);
  }
  HeaderReader reader(name);
  JsonLimits limits;
  limits.max_bytes = kMaxHeaderBytes;
  limits.max_depth = 8;
  try {
    parse_json_stream(header, name, limits, reader);
  } catch (const Error& error) {
    file->check();
    if (!error.code().empty()) throw;
    throw Error(error.kind(), error.what(), "safetensors.header_json");
  }
  file->check();
  check_spans(name, reader.entries, bytes.size() - 8 - header_bytes);

  Safetensors result;
  result.metadata = std::move(reader.metadata);
  const auto data = bytes.subspan(8 + header_bytes);
  for (Entry& entry : reader.entries) {
    Tensor tensor;
    tensor.type = entry.type;
    tensor.shape = std::move(entry.shape);
    tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    tensor.owner = file;
    result.tensors.set(std::move(entry.name), std::move(tensor));
  }
  return result;
}

std::filesystem::path contained_path(const std::filesystem::path& folder, const std::string& relative) {
  const std::filesystem::path part(relative);
  bool bad = relative.empty() || part.is_absolute() || relative.find('\0') != std::string::npos;
  for (const auto& piece : part) bad |= piece == ".." || piece == ".";
  if (bad)
    fail(ErrorKind::kFormat, "{}: file name \"{}\" is not a path inside the folder", folder.string(),
         relative);
  const std::filesystem::path full = folder / part;
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(full, error);
  auto root = std::filesystem::weakly_canonical(folder, error);
  const auto inside = [&](const std::filesystem::path& base) {
    return std::mismatch(base.begin(), base.end(), real.begin(), real.end()).first == base.end();
  };
  if (inside(root)) return full;
  // <cache>/models--org--name/snapshots/<commit>/file -> ../../blobs/<sha>: exactly this, for a real link
  // only.
  const auto repository = root.parent_path().parent_path();
  if (root.parent_path().filename() == "snapshots" &&
      repository.filename().string().starts_with("models--") && real.parent_path() == repository / "blobs") {
    return full;
  }
  fail(ErrorKind::kFormat, "{}: leads out of the model folder, to {}", full.string(), real.string());
}

TensorMap read_model_tensors(const std::filesystem::path& folder, std::vector<std::filesystem::path>* files) {
  std::error_code error;
  const auto note = [&](const std::filesystem::path& path) {
    if (files != nullptr) files->push_back(path);
  };
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  if (std::filesystem::exists(folder / "model.safetensors", error)) {
    const auto path = contained_path(folder, "model.safetensors");
    note(path);
    return read_safetensors(path).tensors;
  }
  if (std::filesystem::exists(index, error)) {
    const std::string name = index.string();
    const Json json =
        Json::parse(read_text_file(contained_path(folder, "model.safetensors.index.json"), 64u << 20), name);
    const Json* map = json.find("weight_map");
    if (map == nullptr) fail(ErrorKind::kFormat, "{}: weight_map is missing", name);
    std::map<std::string, Safetensors> shards;
    TensorMap result;
    for (const auto& [tensor, shard_json] : map->as_object(name + ": weight_map")) {
      const std::string& shard = shard_json.as_string(name + ": weight_map." + tensor);
      auto found = shards.find(shard);
      if (found == shards.end()) {
        if (shard.find('/') != std::string::npos || shard.find('\\') != std::string::npos) {
          fail(ErrorKind::kFormat, "{}: shard \"{}\" is not a plain file name", name, shard);
        }
        const auto path = contained_path(folder, shard);
        if (!std::filesystem::exists(path, error)) {
          fail(ErrorKind::kIo, "{}: shard {} is missing", name, path.string());
        }
        note(path);
        found = shards.emplace(shard, read_safetensors(path)).first;
      }
      const Tensor* view = found->second.tensors.find(tensor);
      if (view == nullptr) fail(ErrorKind::kFormat, "{}: tensor {} is not in shard {}", name, tensor, shard);
      result.set(tensor, *view);
    }
    for (const auto& [shard, content] : shards) {
      for (const auto& entry : content.tensors) {
        if (result.find(entry.name) == nullptr) {
          fail(ErrorKind::kFormat, "{}: shard {} holds tensor {}, which the index does not list", name, shard,
               entry.name);
        }
      }
    }
    return result;
  }
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (!std::filesystem::exists(folder / pickle, error)) continue;
    fail(ErrorKind::kUnsupported,
         "{}: only {} is there. Pickle files can run code and are never read; convert once with: python3 -c "
         "\"from "
         "transformers import AutoModel; AutoModel.from_pretrained('{}').save_pretrained('NEW_FOLDER')\"",
         folder.string(), pickle, folder.string());
  }
  for (const char* other : {"tf_model.h5", "flax_model.msgpack", "model.onnx", "onnx/model.onnx"}) {
    if (!std::filesystem::exists(folder / other, error)) continue;
    fail(ErrorKind::kUnsupported, "{}: only {} is there; wanted model.safetensors", folder.string(), other);
  }
  fail(ErrorKind::kInput, "{}: no model.safetensors and no model.safetensors.index.json", folder.string());
}

namespace {

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct HeaderEntry {
  std::string name;
  DType type;
  const Shape* shape;
  uint64_t bytes;
};

// The length of the header and the header, so long that the data begin at a multiple of `alignment`.
std::string write_header(const std::vector<HeaderEntry>& entries, const Metadata& metadata,
                         std::size_t alignment) {
  Json header = Json::object();
  Json meta = Json::object({{"format", "pt"}});
  for (const auto& [key, value] : metadata) meta.set(key, value);
  header.set("__metadata__", std::move(meta));
  uint64_t offset = 0;
  auto& members = header.as_object("header");
  for (const HeaderEntry& entry : entries) {
    Json shape = Json::array();
    for (const int64_t size : *entry.shape) shape.push_back(size);
    Json offsets = Json::array();
    offsets.push_back(offset);
    offset += entry.bytes;
    offsets.push_back(offset);
    members.emplace_back(entry.name, Json::object({{"dtype", name_of(entry.type)},
                                                   {"shape", std::move(shape)},
                                                   {"data_offsets", std::move(offsets)}}));
  }
  std::string text = header.dump();
  text.append((alignment - (sizeof(uint64_t) + text.size()) % alignment) % alignment, ' ');
  const uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text;
}

}  // namespace

std::size_t write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                              const Metadata& metadata, std::size_t alignment) {
  std::vector<const TensorMap::Entry*> order;
  for (const auto& entry : tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const TensorMap::Entry* a, const TensorMap::Entry* b) {
    const int x = bits_of(a->tensor.type), y = bits_of(b->tensor.type);
    return x != y ? x > y : a->name < b->name;
  });
  std::vector<HeaderEntry> entries;
  for (const TensorMap::Entry* entry : order) {
    entries.push_back({entry->name, entry->tensor.type, &entry->tensor.shape, entry->tensor.bytes.size()});
  }
  OutputFile file(path);
  file.write(write_header(entries, metadata, alignment));
  for (const TensorMap::Entry* entry : order) file.write(entry->tensor.bytes);
  file.commit();
  return file.bytes_written();
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::string& name, DType type,
                                     const Shape& shape, const Metadata& metadata)
    : file_(path) {
  const auto bytes = static_cast<uint64_t>(element_count(shape)) * static_cast<uint64_t>(bits_of(type)) / 8;
  file_.write(write_header({{name, type, &shape, bytes}}, metadata, sizeof(uint64_t)));
  expected_ = file_.bytes_written() + bytes;
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  file_.write(bytes);
}

void SafetensorsWriter::commit() {
  if (file_.bytes_written() != expected_) {
    fail(ErrorKind::kInternal, "a tensor of {} bytes was announced, {} came", expected_,
         file_.bytes_written());
  }
  file_.commit();
}

}  // namespace penjing
