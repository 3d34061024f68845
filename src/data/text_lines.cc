#include "data/text_lines.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

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

std::vector<std::string> read_text_lines(const std::filesystem::path& path, std::size_t max_line_bytes) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path.string();
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> owned(nullptr, std::fclose);
  std::FILE* file = stdin;
  if (!standard_input) {
    owned.reset(std::fopen(path.c_str(), "rb"));
    if (owned == nullptr) fail(ErrorKind::kIo, "{}: cannot open: {}", name, std::strerror(errno));
    file = owned.get();
  }
  std::vector<std::string> lines;
  std::string line;
  char block[1 << 16];
  bool pending = false;
  const bool json = path.extension() == ".jsonl";
  const auto finish = [&] {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(json ? text_of_json(line, fmt::format("{}: line {}", name, lines.size() + 1))
                         : std::move(line));
    line.clear();
    pending = false;
  };
  for (;;) {
    const std::size_t got = std::fread(block, 1, sizeof block, file);
    if (got == 0) break;
    const char* at = block;
    const char* const end = block + got;
    while (at < end) {
      const auto* newline =
          static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
      const char* stop = newline == nullptr ? end : newline;
      line.append(at, stop);
      pending = true;
      if (line.size() > max_line_bytes) {
        fail(ErrorKind::kResource, "{}: line {} is longer than {} bytes", name, lines.size() + 1,
             max_line_bytes);
      }
      if (newline != nullptr) finish();
      at = stop + (newline == nullptr ? 0 : 1);
    }
  }
  if (std::ferror(file) != 0) fail(ErrorKind::kIo, "{}: cannot read: {}", name, std::strerror(errno));
  if (pending && !line.empty()) finish();
  return lines;
}

}  // namespace penjing
