#include "cli/stored_pack.h"

#include <cstring>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "io/pack_file.h"
#include "kernels/cpu.h"

namespace penjing::cli {

namespace {

constexpr std::size_t kUnit = 64;
constexpr int64_t kFacts = 8;  // F64: bytes of the JSON, bytes of the tokens, tokens, slots

// The values and zeros up to a multiple of 64 bytes.
Tensor padded(std::span<const std::byte> values) {
  std::vector<std::byte> bytes(values.begin(), values.end());
  bytes.resize((bytes.size() + kUnit - 1) / kUnit * kUnit);
  const auto size = static_cast<int64_t>(bytes.size());
  return Tensor::from_bytes(DType::kU8, {size}, std::move(bytes));
}

template <typename T>
std::span<const T> first_values(const TensorMap& tensors, const char* name, double count) {
  const Tensor* tensor = tensors.find(name);
  if (tensor == nullptr || !(count >= 0) || count > static_cast<double>(tensor->bytes.size() / sizeof(T)) ||
      reinterpret_cast<uintptr_t>(tensor->bytes.data()) % alignof(T) != 0)
    fail(ErrorKind::kFormat, "{} is missing or too small", name);
  return {reinterpret_cast<const T*>(tensor->bytes.data()), static_cast<std::size_t>(count)};
}

StoredTokenizer find_tokenizer(const std::shared_ptr<const TensorMap>& tensors) {
  const auto facts = first_values<double>(*tensors, "tokenizer.facts", kFacts);
  const auto json = first_values<char>(*tensors, "tokenizer.json", facts[0]);
  StoredTokenizer stored;
  stored.json = {json.data(), json.size()};
  stored.vocabulary.bytes = first_values<char>(*tensors, "tokenizer.tokens", facts[1]);
  stored.vocabulary.begin = first_values<uint32_t>(*tensors, "tokenizer.begin", facts[2] + 1);
  stored.vocabulary.slots = first_values<Vocabulary::Slot>(*tensors, "tokenizer.slots", facts[3]);
  stored.owner = tensors;
  return stored;
}

}  // namespace

std::string pack_isa() {
  return name_of(isa_limit());
}

StoredModel read_stored(const std::filesystem::path& folder) {
  StoredModel stored;
  Pack pack = read_pack(folder, pack_isa());
  try {
    if (pack.tensors != nullptr) stored.tokenizer = find_tokenizer(pack.tensors);
  } catch (const Error& broken) {
    pack = {PackState::kDamaged, broken.what(), nullptr};
  }
  stored.tensors = pack.tensors;
  if (pack.state == PackState::kStale || pack.state == PackState::kDamaged) {
    log_warning("{}: not used: {}; `penjing pack {}` makes it anew", pack_path(folder, pack_isa()).string(),
                pack.reason, folder.string());
  }
  return stored;
}

std::size_t write_stored(const std::filesystem::path& folder, const Engine& engine,
                         const Tokenizer& tokenizer) {
  TensorMap tensors = engine.packed_tensors();
  const StoredTokenizer stored = tokenizer.stored();
  const auto& [bytes, begin, slots] = stored.vocabulary;
  const double facts[kFacts] = {static_cast<double>(stored.json.size()), static_cast<double>(bytes.size()),
                                static_cast<double>(begin.size() - 1), static_cast<double>(slots.size())};
  tensors.set("tokenizer.facts", padded(std::as_bytes(std::span(facts))));
  tensors.set("tokenizer.json", padded(std::as_bytes(std::span(stored.json))));
  tensors.set("tokenizer.tokens", padded(std::as_bytes(bytes)));
  tensors.set("tokenizer.begin", padded(std::as_bytes(begin)));
  tensors.set("tokenizer.slots", padded(std::as_bytes(slots)));
  return write_pack(folder, pack_isa(), tensors);
}

}  // namespace penjing::cli
