#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

namespace penjing {

// What went wrong, as the caller must treat it. Mapped in three places only: CLI exit code, HTTP status,
// Python exception.
enum class ErrorKind {
  kInput,        // an argument or a recipe: exit 2
  kFormat,       // a file's content breaks its format: exit 4
  kUnsupported,  // well-formed, but not something we can do: exit 4
  kIo,           // the operating system refused: exit 6
  kResource,     // memory, disk, or a stated limit: exit 6
  kInternal,     // our fault: exit 1
};

const char* to_string(ErrorKind kind);

// The only exception type of the project. The message names the file, tensor or field, the value found
// and the value wanted. `code` is a short stable identifier ("safetensors.header_too_long") where a
// format's rules each have their own, else empty.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, std::string code = "")
      : kind_(kind), message_(std::move(message)), code_(std::move(code)) {}

  const char* what() const noexcept override { return message_.c_str(); }
  ErrorKind kind() const { return kind_; }
  const std::string& code() const { return code_; }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string code_;
};

// Throws Error{kind, formatted message}: fail(ErrorKind::kFormat, "{}: wanted {}, found {}", ...).
template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

// The same with a stable code for rule-by-rule tests.
template <typename... Args>
[[noreturn]] void fail_rule(ErrorKind kind, const char* code, fmt::format_string<Args...> format,
                            Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...), code);
}

}  // namespace penjing
