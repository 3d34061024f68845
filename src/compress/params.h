#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "compress/method.h"

namespace penjing {

// A method's parameters are a struct with one function that names every field:
//
//   struct Params {
//     std::string scheme = "w8a8";
//     template <class Visitor> void visit(Visitor& v) { v.choice("scheme", scheme, {"w8a8", "w8a16"}, "what
//     it is"); }
//   };
//
// From it come the ParamInfo list (CLI, recipe schema, docs) and the reading of resolved JSON.
class ParamLister {
 public:
  std::vector<ParamInfo> infos;
  void choice(const char* name, std::string& v, std::vector<std::string> choices, const char* help) {
    infos.push_back({name, ParamInfo::Type::kChoice, v, std::move(choices), 0, 0, help});
  }
  void text(const char* name, std::string& v, const char* help) {
    infos.push_back({name, ParamInfo::Type::kString, v, {}, 0, 0, help});
  }
  void flag(const char* name, bool& v, const char* help) {
    infos.push_back({name, ParamInfo::Type::kBool, v, {}, 0, 0, help});
  }
  void integer(const char* name, int64_t& v, int64_t min, int64_t max, const char* help) {
    infos.push_back(
        {name, ParamInfo::Type::kInt, v, {}, static_cast<double>(min), static_cast<double>(max), help});
  }
  void number(const char* name, double& v, double min, double max, const char* help) {
    infos.push_back({name, ParamInfo::Type::kDouble, v, {}, min, max, help});
  }
  void list(const char* name, std::vector<std::string>& v, const char* help) {
    add_list(name, v, ParamInfo::Type::kStringList, help);
  }
  void path(const char* name, std::string& v, const char* help) {
    infos.push_back({name, ParamInfo::Type::kPath, v, {}, 0, 0, help});
  }
  void json(const char* name, Json& v, const char* help) {
    infos.push_back({name, ParamInfo::Type::kJson, v, {}, 0, 0, help});
  }
  void paths(const char* name, std::vector<std::string>& v, const char* help) {
    add_list(name, v, ParamInfo::Type::kPathList, help);
  }

 private:
  void add_list(const char* name, const std::vector<std::string>& v, ParamInfo::Type type, const char* help) {
    Json values = Json::array();
    for (const auto& item : v) values.push_back(item);
    infos.push_back({name, type, values, {}, 0, 0, help});
  }
};

class ParamReader {
 public:
  explicit ParamReader(const Json& resolved) : json_(resolved) {}
  void choice(const char* name, std::string& v, const std::vector<std::string>&, const char*) {
    v = at(name).as_string(name);
  }
  void text(const char* name, std::string& v, const char*) { v = at(name).as_string(name); }
  void flag(const char* name, bool& v, const char*) { v = at(name).as_bool(name); }
  void integer(const char* name, int64_t& v, int64_t, int64_t, const char*) { v = at(name).as_int(name); }
  void number(const char* name, double& v, double, double, const char*) { v = at(name).as_double(name); }
  void list(const char* name, std::vector<std::string>& v, const char*) {
    v.clear();
    for (const Json& item : at(name).as_array(name)) v.push_back(item.as_string(name));
  }
  void path(const char* name, std::string& v, const char* help) { text(name, v, help); }
  void json(const char* name, Json& v, const char*) { v = at(name); }
  void paths(const char* name, std::vector<std::string>& v, const char* help) { list(name, v, help); }

 private:
  const Json& at(const char* name) const {
    const Json* value = json_.find(name);
    if (value == nullptr) fail(ErrorKind::kInternal, "parameter {} was not resolved", name);
    return *value;
  }
  const Json& json_;
};

template <typename Params>
std::vector<ParamInfo> list_params() {
  Params params;
  ParamLister lister;
  params.visit(lister);
  return lister.infos;
}

template <typename Params>
Params read_params(const Json& resolved) {
  Params params;
  ParamReader reader(resolved);
  params.visit(reader);
  return params;
}

// Glob match of a module name: * and ?.
bool matches_pattern(std::string_view pattern, std::string_view name);

}  // namespace penjing
