#include "data/text_lines.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/json.h"

namespace penjing {

namespace {

std::string text_of_json(const std::string& line, const std::string& where) {
  const Json json = Json::parse(line, where);
  if (json.is_string()) return json.as_string(where);
  for (const char* key : {"text", "sentence", "inputs"}) {
    if (const Json* text = json.find(key)) return text->as_string(where + ": " + key);
  }
  fail(ErrorKind::kFormat, "{}: wanted a string or an object with \"text\"", where);
}

}  // namespace

TextLines::TextLines(const std::filesystem::path& path, Content content, std::size_t max_line_bytes)
    : source_(open_bytes(path)),
      name_(path == "-" ? "standard input" : path.string()),
      max_line_bytes_(max_line_bytes) {
  const std::string kind = content_name(path).extension().string();
  json_ = content == Content::kByName && kind == ".jsonl";
}

void TextLines::fill() {
  block_begin_ += block_.size();
  block_.resize(1 << 16);
  at_ = 0;
  block_.resize(source_->read(block_));
}

void TextLines::skip_to(const Position& position) {
  source_->skip(position.byte);
  block_begin_ = position.byte;
  line_number_ = position.line;
}

bool TextLines::next(std::string& text) {
  text.clear();
  bool ended = false;
  while (!ended) {
    if (at_ == block_.size()) fill();
    if (block_.empty()) {
      if (text.empty()) return false;  // the end, and no last line without its LF
      break;
    }
    const std::size_t newline = std::min(block_.find('\n', at_), block_.size());
    text.append(block_, at_, newline - at_);
    ended = newline < block_.size();
    at_ = newline + (ended ? 1 : 0);
    if (text.size() > max_line_bytes_) {
      fail(ErrorKind::kResource, "{}: line {} is longer than {} bytes", name_, line_number_ + 1,
           max_line_bytes_);
    }
  }
  ++line_number_;
  if (text.ends_with('\r')) text.pop_back();
  if (json_) text = text_of_json(text, fmt::format("{}: line {}", name_, line_number_));
  return true;
}

int64_t count_text_lines(const std::filesystem::path& path) {
  std::error_code error;
  if (path == "-" || is_compressed(path) || !std::filesystem::is_regular_file(path, error)) return -1;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) return -1;
  int64_t lines = 0;
  char last = '\n';
  std::vector<char> block(1 << 16);
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), file.get())) {
    lines += std::count(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(got), '\n');
    last = block[got - 1];
  }
  return lines + (last == '\n' ? 0 : 1);
}

std::vector<std::string> read_text_lines(const std::filesystem::path& path, std::size_t max_line_bytes) {
  TextLines lines(path, TextLines::Content::kByName, max_line_bytes);
  std::vector<std::string> texts;
  for (std::string text; lines.next(text);) texts.push_back(text);
  return texts;
}

}  // namespace penjing
