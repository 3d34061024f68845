#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace penjing {

// SHA-256 in lower-case hex (libcrypto).
std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_file(const std::filesystem::path& path);

}  // namespace penjing
