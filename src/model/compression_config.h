#pragma once

#include <string_view>

#include "base/json.h"

namespace penjing {

// config.json's compression_config: what only Penjing reads. Null where there is no such key of it.
const Json* find_compression(const Json& config, std::string_view key);
void set_compression(Json& config, std::string_view key, Json value);
// The whole object goes with its last key.
void erase_compression(Json& config, std::string_view key);

}  // namespace penjing
