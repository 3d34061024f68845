#pragma once

#include <string>
#include <vector>

namespace penjing {

// The modules that patterns (* and ?) leave as they are; a pattern that matches nothing is a mistake.
class Exclusions {
 public:
  Exclusions(std::string method, const std::vector<std::string>& patterns);
  bool contain(const std::string& module);
  void refuse_unused() const;  // kInput, naming the pattern

 private:
  std::string method_;
  std::vector<std::string> patterns_;
  std::vector<bool> used_;
};

}  // namespace penjing
