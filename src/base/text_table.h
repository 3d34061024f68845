#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penjing {

// A plain table for people: columns padded to their widest cell (in characters), numbers to the right
// where `align` holds 'r'.
class TextTable {
 public:
  TextTable(std::vector<std::string> header, std::string align);
  void add_row(std::vector<std::string> cells);  // as many cells as header
  void add_rule();
  std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // an empty row is a rule
  std::string align_;
};

std::string format_bytes(double bytes);   // "86.7 MB" (decimal units, as file managers show)
std::string format_count(int64_t count);  // "22,713,216"
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);  // by edit distance

}  // namespace penjing
