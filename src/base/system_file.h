#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace penjing {

// A file of /proc or /sys: small, and absent on some systems, where its content is empty.
std::string read_system_file(const std::filesystem::path& path);

// The integer at the start of `text`, after blanks and tabs, which are taken off with it; nullopt when there
// is none.
std::optional<int64_t> leading_integer(std::string_view& text);

}  // namespace penjing
