#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace penjing {

// Limits on a JSON text; the defaults fit config files and recipes. Exceeding one is an Error (kFormat for
// depth, duplicates and syntax, kResource for size).
struct JsonLimits {
  std::size_t max_bytes = 64u << 20;
  int max_depth = 64;
  std::size_t max_key_bytes = 4096;
  bool allow_comments = false;  // // and /* */ as in recipes
};

// A JSON value. Objects keep the order of their keys, so that unknown keys of a config survive a round
// trip in place. Integers and floats are kept apart.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool v) : value_(v) {}
  Json(int v) : value_(static_cast<int64_t>(v)) {}
  Json(int64_t v) : value_(v) {}
  Json(uint64_t v);  // above 2^63-1 becomes a double
  Json(double v) : value_(v) {}
  Json(float v) : value_(static_cast<double>(v)) {}
  Json(const char* v) : value_(std::string(v)) {}
  Json(std::string_view v) : value_(std::string(v)) {}
  Json(std::string v) : value_(std::move(v)) {}
  Json(Array v) : value_(std::move(v)) {}
  Json(Object v) : value_(std::move(v)) {}
  static Json array() { return Json(Array{}); }
  static Json object() { return Json(Object{}); }
  static Json object(std::initializer_list<Member> members) { return Json(Object(members)); }

  // Parses strict JSON: valid UTF-8, no duplicate keys, nothing after the value, no NaN/Infinity, numbers
  // within double range. `name` (a file name) starts every error message.
  static Json parse(std::string_view text, std::string_view name, const JsonLimits& limits = {});

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<int64_t>(value_); }
  bool is_number() const { return is_int() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  const char* type_name() const;  // "null", "boolean", "integer", "number", "string", "array", "object"

  // Typed access; `where` (for example "config.json: hidden_size") starts the kFormat error.
  bool as_bool(std::string_view where) const;
  int64_t as_int(std::string_view where) const;  // an integral double (1e3) is accepted
  double as_double(std::string_view where) const;
  const std::string& as_string(std::string_view where) const;
  const Array& as_array(std::string_view where) const;
  const Object& as_object(std::string_view where) const;
  Array& as_array(std::string_view where);
  Object& as_object(std::string_view where);

  // Object members. find: nullptr when absent or not an object. set: replaces or appends.
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  void set(std::string_view key, Json value);
  bool erase(std::string_view key);
  void push_back(Json value);

  // Compact when indent < 0, else one member a line. Strings are escaped minimally, UTF-8 kept; doubles
  // are the shortest text that reads back equal; NaN and infinities become null.
  std::string dump(int indent = -1) const;

  bool operator==(const Json&) const = default;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

// Streaming form, for model files whose size is not bounded (safetensors headers, tokenizer.json): memory
// stays that of the handler. Duplicate keys are the handler's to notice where it keeps keys.
class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  virtual void on_null() = 0;
  virtual void on_bool(bool value) = 0;
  virtual void on_int(int64_t value) = 0;
  virtual void on_double(double value) = 0;  // also integers beyond int64
  virtual void on_string(std::string&& value) = 0;
  virtual void on_key(std::string&& key) = 0;
  virtual void begin_object() = 0;
  virtual void end_object() = 0;
  virtual void begin_array() = 0;
  virtual void end_array() = 0;
};
void parse_json_stream(std::string_view text, std::string_view name, const JsonLimits& limits,
                       JsonHandler& handler);

}  // namespace penjing
