#include "base/parse.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace penjing {

namespace {

template <typename T>
std::optional<T> whole(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<double> as_number(std::string_view text) {
  return whole<double>(text);
}

double parse_number(std::string_view text, std::string_view what) {
  const std::optional<double> value = as_number(text);
  if (!value) fail(ErrorKind::kInput, "{}: \"{}\" is no number", what, text);
  return *value;
}

int64_t parse_integer(std::string_view text, std::string_view what) {
  const std::optional<int64_t> value = whole<int64_t>(text);
  if (!value) fail(ErrorKind::kInput, "{}: \"{}\" is no integer", what, text);
  return *value;
}

std::vector<std::string> split_at(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    pieces.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return pieces;
}

std::vector<int64_t> parse_integers(std::string_view text, std::string_view what, int64_t min, int64_t max) {
  std::vector<int64_t> numbers;
  for (std::string piece : split_at(text, ',')) {
    while (!piece.empty() && piece.front() == ' ') piece.erase(0, 1);
    while (!piece.empty() && piece.back() == ' ') piece.pop_back();
    const int64_t number = parse_integer(piece, what);
    if (number < min || number > max)
      fail(ErrorKind::kInput, "{}: {} is outside [{}, {}]", what, number, min, max);
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace penjing
