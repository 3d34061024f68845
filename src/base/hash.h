#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace penjing {

// SHA-256 in lower-case hex (libcrypto).
std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_file(const std::filesystem::path& path);

// FNV-1a (Fowler, Noll, Vo), 64 bits: for what nobody attacks.
uint64_t fnv1a(std::string_view bytes);

}  // namespace penjing
