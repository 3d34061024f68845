#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/json.h"

namespace penjing {

// How many numbers of a tensor lie in each power of two: what decides which float format can hold it.
struct ExponentHistogram {
  static constexpr int kLowest = -149, kHighest = 127;  // exponents of FP32, subnormal numbers included

  int64_t zeros = 0, infinities = 0, nans = 0;
  std::array<int64_t, kHighest - kLowest + 1> bins{};  // bins[e - kLowest]: 2^e <= |x| < 2^(e + 1)
  float smallest = 0, largest = 0;  // |x| of the numbers in the bins; 0 when there are none

  void add(std::span<const float> values);
  void add(const ExponentHistogram& other);

  int64_t numbers() const;        // finite and not 0: those in the bins
  int64_t count() const;          // all values
  int64_t below(int e) const;     // numbers with |x| < 2^e
  int64_t at_least(int e) const;  // numbers with |x| >= 2^e
  // Exponents of the smallest and largest number. Only with numbers() > 0.
  int lowest() const;
  int highest() const;

  // {"zeros", "infinities", "nans", "smallest", "largest", "exponents": {"-12": 345, ...}}
  Json to_json() const;
  static ExponentHistogram from_json(const Json& json, std::string_view where);  // throws kFormat
};

}  // namespace penjing
