#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "compress/method.h"

namespace CLI {
class App;
}

namespace penjing::cli {

// Options made from declared parameters (compress/params.h): --batch-size for "batch_size". Lives as long as
// the program, as the App does.
class ParamOptions {
 public:
  // A parameter that is there already, of another method of the same verb, is left out.
  void declare(CLI::App& app, std::span<const ParamInfo> infos);
  // Those that were given on the command line; kInput where a number is wanted and none is there.
  Json given(const CLI::App& app) const;

 private:
  std::map<std::string, std::string> text_;
  std::map<std::string, std::vector<std::string>> lists_;
  std::map<std::string, bool> flags_;
  std::map<std::string, ParamInfo::Type> types_;
};

}  // namespace penjing::cli
