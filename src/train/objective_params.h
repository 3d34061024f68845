#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"

namespace penjing::train {

// Reads an objective's own parameters, each with its default; what was asked for is what there is. Errors are
// kInput, naming parameter, value and what is wanted.
class ObjectiveParams {
 public:
  explicit ObjectiveParams(const Json& params) : params_(params) {}
  double number(const char* name, double fallback, double low, double high);
  int64_t integer(const char* name, int64_t fallback, int64_t low, int64_t high);
  bool flag(const char* name, bool fallback);
  // The first choice is the default.
  std::string word(const char* name, std::initializer_list<const char*> choices);
  std::string text(const char* name, const std::string& fallback);
  // "class_weights": one number a class, or "balanced" for the given ones; empty when not given.
  std::vector<float> class_weights(std::span<const float> balanced);
  // kInput for a parameter that was not asked for ("task", the name that the user gave, is always known).
  void refuse_others() const;

 private:
  const Json* find(const char* name);
  const Json& params_;
  std::vector<std::string> known_;
};

// n / (classes * count), as in scikit-learn; 1 for a class that does not occur.
std::vector<float> balanced_weights(std::span<const int64_t> counts);

}  // namespace penjing::train
