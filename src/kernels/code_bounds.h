#pragma once

namespace penjing {

// The largest magnitude of a weight and the largest code that an integer product takes without error.
struct CodeBounds {
  int weight, code;
  bool hold(const CodeBounds& others) const { return others.weight <= weight && others.code <= code; }
};
inline constexpr CodeBounds kAnyCodes = {.weight = 128, .code = 255};

}  // namespace penjing
