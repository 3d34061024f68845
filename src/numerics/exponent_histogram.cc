#include "numerics/exponent_histogram.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace penjing {

namespace {

std::size_t index_of(int exponent) {
  return static_cast<std::size_t>(exponent - ExponentHistogram::kLowest);
}

int64_t count_of(const Json& json, std::string_view key, std::string_view where) {
  const Json* value = json.find(key);
  if (value == nullptr) fail(ErrorKind::kFormat, "{}: no \"{}\"", where, key);
  const int64_t count = value->as_int(fmt::format("{}.{}", where, key));
  if (count < 0) fail(ErrorKind::kFormat, "{}.{}: wanted a count, found {}", where, key, count);
  return count;
}

float magnitude_of(const Json& json, std::string_view key, std::string_view where) {
  const Json* value = json.find(key);
  if (value == nullptr) fail(ErrorKind::kFormat, "{}: no \"{}\"", where, key);
  const double magnitude = value->as_double(fmt::format("{}.{}", where, key));
  if (!(magnitude >= 0 && magnitude <= 0x1.fffffep127))
    fail(ErrorKind::kFormat, "{}.{}: wanted the magnitude of an FP32 number, found {}", where, key,
         magnitude);
  return static_cast<float>(magnitude);
}

}  // namespace

void ExponentHistogram::add(std::span<const float> values) {
  constexpr uint32_t kInfinity = 0x7f800000;
  uint32_t least = kInfinity, most = 0;
  for (const float x : values) {
    const uint32_t magnitude = std::bit_cast<uint32_t>(x) & 0x7fffffffu;
    if (magnitude == 0) {
      ++zeros;
    } else if (magnitude >= kInfinity) {
      ++(magnitude == kInfinity ? infinities : nans);
    } else {
      // A subnormal number is its mantissa times 2^-149.
      const int exponent = magnitude >= 0x00800000 ? static_cast<int>(magnitude >> 23) - 127
                                                   : 31 - std::countl_zero(magnitude) + kLowest;
      ++bins[index_of(exponent)];
      least = std::min(least, magnitude);
      most = std::max(most, magnitude);
    }
  }
  if (most == 0) return;
  const auto low = std::bit_cast<float>(least), high = std::bit_cast<float>(most);
  smallest = smallest == 0 ? low : std::min(smallest, low);
  largest = std::max(largest, high);
}

void ExponentHistogram::add(const ExponentHistogram& other) {
  zeros += other.zeros;
  infinities += other.infinities;
  nans += other.nans;
  for (std::size_t i = 0; i < bins.size(); ++i) bins[i] += other.bins[i];
  if (other.smallest > 0) smallest = smallest == 0 ? other.smallest : std::min(smallest, other.smallest);
  largest = std::max(largest, other.largest);
}

int64_t ExponentHistogram::numbers() const {
  int64_t sum = 0;
  for (const int64_t bin : bins) sum += bin;
  return sum;
}

int64_t ExponentHistogram::count() const {
  return numbers() + zeros + infinities + nans;
}

int64_t ExponentHistogram::below(int e) const {
  int64_t sum = 0;
  for (int exponent = kLowest; exponent < std::min(e, kHighest + 1); ++exponent)
    sum += bins[index_of(exponent)];
  return sum;
}

int64_t ExponentHistogram::at_least(int e) const {
  return numbers() - below(e);
}

int ExponentHistogram::lowest() const {
  return std::ilogb(smallest);
}

int ExponentHistogram::highest() const {
  return std::ilogb(largest);
}

Json ExponentHistogram::to_json() const {
  Json exponents = Json::object();
  for (int e = kLowest; e <= kHighest; ++e) {
    if (bins[index_of(e)] > 0) exponents.set(std::to_string(e), bins[index_of(e)]);
  }
  return Json::object({{"zeros", zeros},
                       {"infinities", infinities},
                       {"nans", nans},
                       {"smallest", smallest},
                       {"largest", largest},
                       {"exponents", exponents}});
}

ExponentHistogram ExponentHistogram::from_json(const Json& json, std::string_view where) {
  ExponentHistogram histogram;
  histogram.zeros = count_of(json, "zeros", where);
  histogram.infinities = count_of(json, "infinities", where);
  histogram.nans = count_of(json, "nans", where);
  histogram.smallest = magnitude_of(json, "smallest", where);
  histogram.largest = magnitude_of(json, "largest", where);
  const Json* exponents = json.find("exponents");
  if (exponents == nullptr) fail(ErrorKind::kFormat, "{}: no \"exponents\"", where);
  for (const auto& [key, value] : exponents->as_object(fmt::format("{}.exponents", where))) {
    int exponent = 0;
    const auto [stopped, error] = std::from_chars(key.data(), key.data() + key.size(), exponent);
    if (error != std::errc() || stopped != key.data() + key.size() || exponent < kLowest ||
        exponent > kHighest) {
      fail(ErrorKind::kFormat, "{}.exponents: wanted {} to {}, found \"{}\"", where, kLowest, kHighest, key);
    }
    histogram.bins[index_of(exponent)] = count_of(*exponents, key, where);
  }
  const bool empty = histogram.numbers() == 0;
  if (empty != (histogram.largest == 0) || empty != (histogram.smallest == 0))
    fail(ErrorKind::kFormat, "{}: smallest and largest do not fit the exponents", where);
  return histogram;
}

}  // namespace penjing
