#include "compress/method.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text_table.h"
#include "compress/params.h"

namespace penjing {

#define PENJING_METHOD(name, module) extern const Method name##_method;
#include "compress/methods.def"
#undef PENJING_METHOD

namespace {
constexpr std::array kMethods = {
#define PENJING_METHOD(name, module) &name##_method,
#include "compress/methods.def"
#undef PENJING_METHOD
};

void check_value(const std::string& owner, const ParamInfo& info, const Json& value) {
  const std::string where = fmt::format("{}: {}", owner, info.name);
  const auto refuse = [&](const std::string& wanted) {
    fail(ErrorKind::kInput, "{}: wanted {}, found {}", where, wanted, value.dump().substr(0, 80));
  };
  const auto in_range = [&](double number) {
    if (info.min != info.max && !(number >= info.min && number <= info.max)) {
      refuse(fmt::format("a number in [{}, {}]", info.min, info.max));
    }
  };
  switch (info.type) {
    case ParamInfo::Type::kBool:
      if (!value.is_bool()) refuse("true or false");
      break;
    case ParamInfo::Type::kInt:
      if (!value.is_int()) refuse("an integer");
      in_range(static_cast<double>(value.as_int(where)));
      break;
    case ParamInfo::Type::kDouble:
      if (!value.is_number()) refuse("a number");
      in_range(value.as_double(where));
      break;
    case ParamInfo::Type::kString:
      if (!value.is_string()) refuse("a string");
      break;
    case ParamInfo::Type::kChoice: {
      std::string choices;
      for (const auto& choice : info.choices) choices += (choices.empty() ? "" : " | ") + choice;
      if (!value.is_string()) refuse(choices);
      if (std::find(info.choices.begin(), info.choices.end(), value.as_string(where)) == info.choices.end())
        refuse(choices);
      break;
    }
    case ParamInfo::Type::kStringList:
      if (!value.is_array()) refuse("a list of strings");
      for (const Json& item : value.as_array(where)) {
        if (!item.is_string()) refuse("a list of strings");
      }
      break;
  }
}
}  // namespace

std::span<const Method* const> all_methods() {
  return kMethods;
}

const Method* find_method(std::string_view name) {
  for (const Method* method : kMethods) {
    if (name == method->name) return method;
  }
  return nullptr;
}

Json resolve_params(const Method& method, const Json& given) {
  return resolve_params(method.name, method.params(), given);
}

Json resolve_params(const std::string& owner, const std::vector<ParamInfo>& infos, const Json& given) {
  std::vector<std::string> names;
  for (const ParamInfo& info : infos) names.push_back(info.name);
  if (!given.is_null()) {
    for (const auto& [key, value] : given.as_object(owner)) {
      if (std::find(names.begin(), names.end(), key) != names.end()) continue;
      if (names.empty()) fail(ErrorKind::kInput, "{}: unknown parameter \"{}\"; it has none", owner, key);
      fail(ErrorKind::kInput, "{}: unknown parameter \"{}\"; did you mean \"{}\"?", owner, key,
           nearest(key, names));
    }
  }
  Json resolved = Json::object();
  for (const ParamInfo& info : infos) {
    const Json* value = given.find(info.name);
    const Json& chosen = value == nullptr ? info.default_value : *value;
    check_value(owner, info, chosen);
    resolved.set(info.name, chosen);
  }
  return resolved;
}

bool matches_pattern(std::string_view pattern, std::string_view name) {
  // Greedy with one point of return: linear for any number of stars.
  std::size_t p = 0, n = 0, star = std::string_view::npos, after = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p, ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++after;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace penjing
