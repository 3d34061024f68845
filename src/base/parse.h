#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penjing {

// The whole text as a decimal number; none when it is no number or more follows it.
std::optional<double> as_number(std::string_view text);
// The same; kInput, naming `what`, when it is none.
double parse_number(std::string_view text, std::string_view what);
int64_t parse_integer(std::string_view text, std::string_view what);

// "3,5, 8": integers between commas; kInput, naming `what`, for anything else or outside [min, max].
std::vector<int64_t> parse_integers(std::string_view text, std::string_view what, int64_t min, int64_t max);

// Pieces between separators: one more than there are separators, empty ones kept.
std::vector<std::string> split_at(std::string_view text, char separator);

}  // namespace penjing
