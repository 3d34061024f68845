#include "cli/param_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/mapped_file.h"
#include "base/parse.h"

namespace penjing::cli {

namespace {

std::string option_name(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

Json list_of(const std::vector<std::string>& items) {
  Json list = Json::array();
  for (const auto& item : items) list.push_back(item);
  return list;
}

// A value as JSON, or @FILE with one; else a text.
Json read_json(const std::string& text, const std::string& option) {
  if (text.starts_with("@")) return Json::parse(read_text_file(text.substr(1), 4u << 20), text.substr(1));
  const bool json = text.starts_with("[") || text.starts_with("{");
  return json ? Json::parse(text, option) : Json(text);
}

}  // namespace

void ParamOptions::declare(CLI::App& app, std::span<const ParamInfo> infos) {
  for (const ParamInfo& info : infos) {
    if (!types_.emplace(info.name, info.type).second) continue;
    std::string help = info.help;
    if (!info.choices.empty()) {
      std::string choices;
      for (const auto& choice : info.choices) choices += (choices.empty() ? "" : "|") + choice;
      help += " (" + choices + ")";
    }
    const std::string name = option_name(info.name);
    if (info.type == ParamInfo::Type::kBool) {
      app.add_flag(name, flags_[info.name], help);
    } else if (info.type == ParamInfo::Type::kStringList) {
      app.add_option(name, lists_[info.name], help)->expected(1)->take_all();
    } else if (info.type == ParamInfo::Type::kPathList) {
      app.add_option(name, lists_[info.name], help);
    } else {
      const bool text = info.default_value.is_string();
      app.add_option(name, text_[info.name], help)
          ->default_str(text ? info.default_value.as_string("") : info.default_value.dump());
    }
  }
}

Json ParamOptions::given(const CLI::App& app) const {
  Json given = Json::object();
  for (const auto& [name, type] : types_) {
    const std::string option = option_name(name);
    if (app.count(option) == 0) continue;
    switch (type) {
      case ParamInfo::Type::kBool:
        given.set(name, flags_.at(name));
        break;
      case ParamInfo::Type::kStringList:
      case ParamInfo::Type::kPathList:
        given.set(name, list_of(lists_.at(name)));
        break;
      case ParamInfo::Type::kInt:
        given.set(name, parse_integer(text_.at(name), option));
        break;
      case ParamInfo::Type::kDouble:
        given.set(name, parse_number(text_.at(name), option));
        break;
      case ParamInfo::Type::kJson:
        given.set(name, read_json(text_.at(name), option));
        break;
      default:
        given.set(name, text_.at(name));
    }
  }
  return given;
}

}  // namespace penjing::cli
