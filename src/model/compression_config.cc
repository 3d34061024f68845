#include "model/compression_config.h"

namespace penjing {

namespace {

constexpr std::string_view kCompression = "compression_config", kVersion = "version";

}  // namespace

const Json* find_compression(const Json& config, std::string_view key) {
  const Json* compression = config.find(kCompression);
  if (compression == nullptr || compression->is_null()) return nullptr;
  (void)compression->as_object("config.json: compression_config");
  const Json* value = compression->find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void set_compression(Json& config, std::string_view key, Json value) {
  const Json* known = config.find(kCompression);
  Json compression = known != nullptr && !known->is_null() ? *known : Json::object({{"version", 1}});
  compression.set(key, std::move(value));
  config.set(kCompression, std::move(compression));
}

void erase_compression(Json& config, std::string_view key) {
  const Json* known = config.find(kCompression);
  if (known == nullptr || known->is_null()) return;
  Json compression = *known;
  compression.erase(key);
  const std::size_t empty = compression.contains(kVersion) ? 1 : 0;
  if (compression.as_object("config.json: compression_config").size() > empty) {
    config.set(kCompression, std::move(compression));
  } else {
    config.erase(kCompression);
  }
}

}  // namespace penjing
