#include "base/json.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"

namespace penjing {

namespace {

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// What a message shows of a hostile text: escaped, and at most `limit` bytes, cut between characters.
std::string excerpt(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  std::size_t end = limit - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text + "...";
}

// Adapts nlohmann's SAX events to JsonHandler and enforces the limits. nlohmann's parser is iterative, so
// depth costs no stack.
class SaxAdapter : public nlohmann::json_sax<nlohmann::json> {
 public:
  SaxAdapter(std::string_view name, const JsonLimits& limits, JsonHandler& handler)
      : name_(name), limits_(limits), handler_(handler) {}

  bool null() override { return handler_.on_null(), true; }
  bool boolean(bool value) override { return handler_.on_bool(value), true; }
  bool number_integer(int64_t value) override { return handler_.on_int(value), true; }
  bool number_unsigned(uint64_t value) override {
    if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      handler_.on_int(static_cast<int64_t>(value));
    } else {
      handler_.on_double(static_cast<double>(value));
    }
    return true;
  }
  bool number_float(double value, const std::string& text) override {
    if (!std::isfinite(value))
      fail(ErrorKind::kFormat, "{}: number {} is out of range", name_, text.substr(0, 40));
    return handler_.on_double(value), true;
  }
  bool string(std::string& value) override { return handler_.on_string(std::move(value)), true; }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return enter(), handler_.begin_object(), true; }
  bool end_object() override { return --depth_, handler_.end_object(), true; }
  bool start_array(std::size_t) override { return enter(), handler_.begin_array(), true; }
  bool end_array() override { return --depth_, handler_.end_array(), true; }
  bool key(std::string& value) override {
    if (value.size() > limits_.max_key_bytes) {
      fail(ErrorKind::kFormat, "{}: a key of {} bytes; at most {} are allowed", name_, value.size(),
           limits_.max_key_bytes);
    }
    return handler_.on_key(std::move(value)), true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string what = error.what();
    // Drop nlohmann's "[json.exception.parse_error.101] " tag; bound the echo of the input.
    if (const auto end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    if (what.size() > 200) what.resize(200);
    for (char& c : what) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    fail(ErrorKind::kFormat, "{}: not valid JSON at byte {}: {}", name_, position, what);
  }

 private:
  void enter() {
    if (++depth_ > limits_.max_depth) {
      fail(ErrorKind::kFormat, "{}: nested deeper than {} levels", name_, limits_.max_depth);
    }
  }

  std::string_view name_;
  const JsonLimits& limits_;
  JsonHandler& handler_;
  int depth_ = 0;
};

class TreeBuilder : public JsonHandler {
 public:
  explicit TreeBuilder(std::string_view name) : name_(name) {}

  void on_null() override { place(Json()); }
  void on_bool(bool value) override { place(Json(value)); }
  void on_int(int64_t value) override { place(Json(value)); }
  void on_double(double value) override { place(Json(value)); }
  void on_string(std::string&& value) override { place(Json(std::move(value))); }
  void on_key(std::string&& key) override {
    Level& level = levels_.back();
    if (!level.keys.insert(key).second) {
      std::string shown;
      append_quoted(shown, key);
      fail(ErrorKind::kFormat, "{}: duplicate key {}", name_, excerpt(std::move(shown), 60));
    }
    level.key = std::move(key);
  }
  void begin_object() override { levels_.push_back({Json::object(), {}, {}}); }
  void begin_array() override { levels_.push_back({Json::array(), {}, {}}); }
  void end_object() override { close(); }
  void end_array() override { close(); }

  Json take() { return std::move(root_); }

 private:
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };
  void close() {
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    place(std::move(value));
  }
  void place(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
    } else if (levels_.back().value.is_array()) {
      levels_.back().value.push_back(std::move(value));
    } else {
      levels_.back().value.as_object(name_).emplace_back(std::move(levels_.back().key), std::move(value));
    }
  }

  std::string_view name_;
  std::vector<Level> levels_;
  Json root_;
};

void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
  // Keeps the type on reading back: 1.0 must not become the integer 1.
  if (std::string_view(text, static_cast<std::size_t>(end - text)).find_first_of(".e") ==
      std::string_view::npos) {
    out += ".0";
  }
}

}  // namespace

Json::Json(uint64_t v) {
  if (v <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    value_ = static_cast<int64_t>(v);
  } else {
    value_ = static_cast<double>(v);
  }
}

void parse_json_stream(std::string_view text, std::string_view name, const JsonLimits& limits,
                       JsonHandler& handler) {
  if (text.size() > limits.max_bytes) {
    fail(ErrorKind::kResource, "{}: {} bytes of JSON; at most {} are allowed", name, text.size(),
         limits.max_bytes);
  }
  // The parser takes a NUL byte for the end of its input, and what follows would go unseen.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    fail(ErrorKind::kFormat, "{}: a NUL byte at {}", name, nul);
  }
  SaxAdapter adapter(name, limits, handler);
  nlohmann::json::sax_parse(text.begin(), text.end(), &adapter, nlohmann::json::input_format_t::json,
                            /*strict=*/true, /*ignore_comments=*/limits.allow_comments);
}

Json Json::parse(std::string_view text, std::string_view name, const JsonLimits& limits) {
  TreeBuilder builder(name);
  parse_json_stream(text, name, limits, builder);
  return builder.take();
}

const char* Json::type_name() const {
  static constexpr const char* kNames[] = {"null",   "boolean", "integer", "number",
                                           "string", "array",   "object"};
  return kNames[value_.index()];
}

namespace {
[[noreturn]] void wrong_type(std::string_view where, const char* wanted, const Json& found) {
  fail(ErrorKind::kFormat, "{}: wanted {}, found {} {}", where, wanted, found.type_name(),
       excerpt(found.dump(), 60));
}
}  // namespace

bool Json::as_bool(std::string_view where) const {
  if (const bool* v = std::get_if<bool>(&value_)) return *v;
  wrong_type(where, "a boolean", *this);
}

int64_t Json::as_int(std::string_view where) const {
  if (const int64_t* v = std::get_if<int64_t>(&value_)) return *v;
  if (const double* v = std::get_if<double>(&value_)) {
    if (*v == std::floor(*v) && std::fabs(*v) < 9.0e15) return static_cast<int64_t>(*v);
  }
  wrong_type(where, "an integer", *this);
}

double Json::as_double(std::string_view where) const {
  if (const double* v = std::get_if<double>(&value_)) return *v;
  if (const int64_t* v = std::get_if<int64_t>(&value_)) return static_cast<double>(*v);
  wrong_type(where, "a number", *this);
}

const std::string& Json::as_string(std::string_view where) const {
  if (const std::string* v = std::get_if<std::string>(&value_)) return *v;
  wrong_type(where, "a string", *this);
}

const Json::Array& Json::as_array(std::string_view where) const {
  if (const Array* v = std::get_if<Array>(&value_)) return *v;
  wrong_type(where, "an array", *this);
}

const Json::Object& Json::as_object(std::string_view where) const {
  if (const Object* v = std::get_if<Object>(&value_)) return *v;
  wrong_type(where, "an object", *this);
}

Json::Array& Json::as_array(std::string_view where) {
  if (Array* v = std::get_if<Array>(&value_)) return *v;
  wrong_type(where, "an array", *this);
}

Json::Object& Json::as_object(std::string_view where) {
  if (Object* v = std::get_if<Object>(&value_)) return *v;
  wrong_type(where, "an object", *this);
}

const Json* Json::find(std::string_view key) const {
  const Object* object = std::get_if<Object>(&value_);
  if (object == nullptr) return nullptr;
  for (const Member& member : *object) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Json* Json::find(std::string_view key) {
  return const_cast<Json*>(std::as_const(*this).find(key));
}

void Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  if (Json* existing = find(key)) {
    *existing = std::move(value);
  } else {
    as_object("Json::set").emplace_back(std::string(key), std::move(value));
  }
}

bool Json::erase(std::string_view key) {
  Object* object = std::get_if<Object>(&value_);
  if (object == nullptr) return false;
  return std::erase_if(*object, [&](const Member& member) { return member.first == key; }) > 0;
}

void Json::push_back(Json value) {
  if (is_null()) value_ = Array{};
  as_array("Json::push_back").push_back(std::move(value));
}

namespace {

void append_break(std::string& out, int indent, int depth) {
  if (indent < 0) return;
  out += '\n';
  out.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

void append_value(std::string& out, const Json& value, int indent, int depth) {
  if (value.is_array()) {
    const auto& items = value.as_array("");
    out += '[';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ',';
      append_break(out, indent, depth + 1);
      append_value(out, items[i], indent, depth + 1);
    }
    if (!items.empty()) append_break(out, indent, depth);
    out += ']';
  } else if (value.is_object()) {
    const auto& members = value.as_object("");
    out += '{';
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += ',';
      append_break(out, indent, depth + 1);
      append_quoted(out, members[i].first);
      out += indent < 0 ? ":" : ": ";
      append_value(out, members[i].second, indent, depth + 1);
    }
    if (!members.empty()) append_break(out, indent, depth);
    out += '}';
  } else if (value.is_string()) {
    append_quoted(out, value.as_string(""));
  } else if (value.is_bool()) {
    out += value.as_bool("") ? "true" : "false";
  } else if (value.is_int()) {
    out += std::to_string(value.as_int(""));
  } else if (value.is_number()) {
    append_double(out, value.as_double(""));
  } else {
    out += "null";
  }
}

}  // namespace

std::string Json::dump(int indent) const {
  std::string out;
  append_value(out, *this, indent, 0);
  return out;
}

}  // namespace penjing
