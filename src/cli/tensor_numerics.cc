#include "cli/tensor_numerics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace penjing::cli {

namespace {

constexpr int kBarCells = 50;

// Gathers errors of results beside their originals.
class ErrorSum {
 public:
  explicit ErrorSum(std::string name) { effect_.name = std::move(name); }

  void add(double original, double result, bool overflow, bool subnormal) {
    effect_.overflows += overflow ? 1 : 0;
    effect_.underflows += result == 0 && original != 0 ? 1 : 0;
    effect_.subnormals += subnormal ? 1 : 0;
    if (!std::isfinite(result)) return;
    const double error = result - original;
    effect_.max_error = std::max(effect_.max_error, std::fabs(error));
    errors_ += error * error;
    power_ += original * original;
    ++count_;
  }
  FormatEffect finish() {
    effect_.rms_error = count_ > 0 ? std::sqrt(errors_ / static_cast<double>(count_)) : 0;
    effect_.snr_db = errors_ > 0 ? 10 * std::log10(power_ / errors_) : INFINITY;
    return effect_;
  }

 private:
  FormatEffect effect_;
  double errors_ = 0, power_ = 0;
  int64_t count_ = 0;
};

FormatEffect float_effect(const FloatFormat& format, std::span<const float> values, double scale,
                          Rounding rounding, Overflow overflow) {
  ErrorSum sum(scale == 1 ? format.name : std::string(format.name) + " scaled");
  for (const float x : values) {
    if (!std::isfinite(x)) continue;
    const auto scaled = static_cast<float>(double{x} / scale);
    const double result = double{decode(format, encode(format, scaled, rounding, overflow))};
    const bool beyond = !std::isfinite(result) ||
                        std::fabs(double{scaled}) > format.largest() + format.spacing(format.largest()) / 2;
    sum.add(x, result * scale, beyond, result != 0 && std::fabs(result) < format.smallest_normal());
  }
  return sum.finish();
}

FormatEffect integer_effect(int bits, std::span<const float> values, int64_t rows, Rounding rounding) {
  ErrorSum sum(fmt::format("int{} {}", bits, rows > 1 ? "by row" : "by tensor"));
  const auto width = values.size() / static_cast<std::size_t>(rows);
  for (std::size_t begin = 0; begin + width <= values.size() && width > 0; begin += width) {
    const auto row = values.subspan(begin, width);
    float largest = 0;
    for (const float x : row) largest = std::isfinite(x) ? std::max(largest, std::fabs(x)) : largest;
    const float scale = largest > 0 ? largest / static_cast<float>(largest_integer(bits)) : 1;
    for (const float x : row) {
      if (std::isfinite(x))
        sum.add(x, static_cast<double>(encode_integer(bits, x, scale, rounding)) * double{scale}, false,
                false);
    }
  }
  return sum.finish();
}

int64_t most_frequent(const TensorNumerics& numerics) {
  int64_t most = 1;
  for (const auto& entry : numerics.exponents) most = std::max(most, entry.second);
  return most;
}

std::string escape(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return safe;
}

}  // namespace

TensorNumerics measure_tensor(std::span<const float> values, int64_t rows, Rounding rounding,
                              Overflow overflow) {
  TensorNumerics numerics;
  numerics.count = static_cast<int64_t>(values.size());
  double power = 0;
  for (const float x : values) {
    if (x == 0) ++numerics.zeros;
    if (x == 0 || !std::isfinite(x)) continue;
    ++numerics.exponents[std::ilogb(x)];
    numerics.largest = std::max(numerics.largest, std::fabs(double{x}));
    power += double{x} * x;
  }
  numerics.rms = values.empty() ? 0 : std::sqrt(power / static_cast<double>(values.size()));
  for (const FloatFormat& format : float_formats()) {
    numerics.effects.push_back(float_effect(format, values, 1, rounding, overflow));
    if (format.bits() == 8 && numerics.largest > 0)
      numerics.effects.push_back(
          float_effect(format, values, numerics.largest / format.largest(), rounding, overflow));
  }
  for (const int bits : {8, 7, 4}) {
    numerics.effects.push_back(integer_effect(bits, values, 1, rounding));
    if (rows > 1) numerics.effects.push_back(integer_effect(bits, values, rows, rounding));
  }
  return numerics;
}

Json to_json(const TensorNumerics& numerics) {
  Json exponents = Json::object(), formats = Json::object();
  for (const auto& [exponent, count] : numerics.exponents) exponents.set(std::to_string(exponent), count);
  for (const FormatEffect& e : numerics.effects) {
    formats.set(e.name, Json::object({{"overflows", e.overflows},
                                      {"underflows", e.underflows},
                                      {"subnormals", e.subnormals},
                                      {"max_error", e.max_error},
                                      {"rms_error", e.rms_error},
                                      {"snr_db", e.snr_db}}));
  }
  return Json::object({{"count", numerics.count},
                       {"zeros", numerics.zeros},
                       {"largest", numerics.largest},
                       {"rms", numerics.rms},
                       {"log2_histogram", exponents},
                       {"formats", formats}});
}

std::string histogram_text(const TensorNumerics& numerics) {
  const int64_t most = most_frequent(numerics);
  std::string text = "|x| from   values\n";
  for (const auto& [exponent, count] : numerics.exponents) {
    const auto cells = static_cast<std::size_t>((count * kBarCells + most - 1) / most);
    text += fmt::format("2^{:<6} {:>9}  {}\n", exponent, count, std::string(cells, '#'));
  }
  return text;
}

std::string histogram_svg(const std::string& title, const TensorNumerics& numerics) {
  constexpr int kHeight = 220, kBottom = 40, kTop = 30, kBar = 18;
  const int lowest = numerics.exponents.empty() ? 0 : numerics.exponents.begin()->first;
  const int highest = numerics.exponents.empty() ? 0 : numerics.exponents.rbegin()->first;
  const int width = (highest - lowest + 1) * kBar + 40;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" "
      "font-size=\"10\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"20\" y=\"16\">{}: |x| by power of "
      "two</text>\n",
      std::max(width, 320), kHeight, escape(title));
  const double most = static_cast<double>(most_frequent(numerics));
  for (const auto& [exponent, count] : numerics.exponents) {
    const double height = (kHeight - kBottom - kTop) * static_cast<double>(count) / most;
    const int x = 20 + (exponent - lowest) * kBar;
    svg += fmt::format(
        "<rect x=\"{}\" y=\"{:.1f}\" width=\"{}\" height=\"{:.1f}\" fill=\"#3a7d44\"><title>2^{}: "
        "{}</title></rect>\n",
        x, kHeight - kBottom - height, kBar - 3, height, exponent, count);
    if (exponent % 2 == 0)
      svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x + kBar / 2,
                         kHeight - kBottom + 14, exponent);
  }
  return svg + "</svg>\n";
}

}  // namespace penjing::cli
