// numerics: what number formats do to a value, to a tensor of a model, or to a recorded training step.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/output_file.h"
#include "base/text_table.h"
#include "cli/command.h"
#include "cli/step_report.h"
#include "cli/tensor_numerics.h"
#include "io/model_folder.h"
#include "numerics/float_format.h"

namespace penjing::cli {

namespace {

struct Options {
  std::vector<std::string> values, tensor;
  std::string svg, diagnose, format = "fp16";
  int64_t step = -1, tensors = 12;
  bool table = false, saturate = false;
  std::string rounding = "nearest";
};
Options options;

void declare(CLI::App& app) {
  app.add_option("VALUE", options.values,
                 "numbers: 0.1, -3e-5, 0x1p-14, inf, nan (put -- before negative ones)");
  app.add_flag("--table", options.table, "range, spacing and smallest values of every format");
  app.add_option("--tensor", options.tensor, "MODEL NAME: what each format would do to a tensor of a model")
      ->expected(2);
  app.add_option("--svg", options.svg, "with --tensor: its histogram as a picture");
  app.add_option("--diagnose", options.diagnose,
                 "RUN: what a format would do to the step that a training run recorded, layer by layer");
  app.add_option("--format", options.format, "with --diagnose: fp16, bf16 or fp8 (E4M3, gradients E5M2)")
      ->capture_default_str()
      ->check(CLI::IsMember({"fp16", "bf16", "fp8"}));
  app.add_option("--step", options.step, "with --diagnose: which recorded step; else the last");
  app.add_option("--tensors", options.tensors, "with --diagnose: how many of the worst tensors to list")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--rounding", options.rounding, "nearest (ties to even) or zero")
      ->capture_default_str()
      ->check(CLI::IsMember({"nearest", "zero"}));
  app.add_flag("--saturate", options.saturate,
               "beyond the largest value: the largest value instead of infinity");
}

Rounding rounding() {
  return options.rounding == "zero" ? Rounding::kTowardZero : Rounding::kNearestEven;
}
Overflow overflow() {
  return options.saturate ? Overflow::kSaturate : Overflow::kInfinity;
}

double parse_value(const std::string& text) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] =
      std::from_chars(digits.data(), end, value, hex ? std::chars_format::hex : std::chars_format::general);
  if (error == std::errc::result_out_of_range && stopped == end)
    fail(ErrorKind::kInput, "{}: beyond the range of FP64 (5e-324 to 1.8e308)", text);
  if (error != std::errc() || stopped != end || digits.empty())
    fail(ErrorKind::kInput, "\"{}\" is not a number; wanted one as 0.1, 3e-5, 0x1p-14, inf or nan", text);
  return negative ? -value : value;
}

// "0 01111 1001100110"
std::string split_bits(const FloatFormat& format, uint32_t code) {
  std::string text;
  for (int bit = format.bits() - 1; bit >= 0; --bit) {
    text += ((code >> bit) & 1) != 0 ? '1' : '0';
    if (bit == format.bits() - 1 || (bit == format.mantissa_bits && bit > 0)) text += ' ';
  }
  return text;
}

std::string show(double value) {
  return fmt::format("{:.9g}", value);
}

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

struct Shown {
  std::string bits;
  double value = 0, absolute = 0, relative = 0, spacing = 0, below = 0, above = 0;
};

Shown show_in(const FloatFormat& format, double exact) {
  const uint32_t code = encode(format, static_cast<float>(exact), rounding(), overflow());
  Shown shown;
  shown.bits = split_bits(format, code);
  shown.value = double{decode(format, code)};
  shown.absolute = std::fabs(shown.value - exact);
  shown.relative = exact == 0 ? 0 : shown.absolute / std::fabs(exact);
  const bool finite = std::isfinite(shown.value);
  shown.spacing = finite ? format.spacing(shown.value) : std::nan("");
  shown.below = finite ? double{next_below(format, code)} : std::nan("");
  shown.above = finite ? double{next_above(format, code)} : std::nan("");
  return shown;
}

Json value_json(double exact) {
  Json formats = Json::object();
  for (const FloatFormat& format : float_formats()) {
    const Shown s = show_in(format, exact);
    formats.set(format.name, Json::object({{"bits", s.bits},
                                           {"value", number(s.value)},
                                           {"absolute_error", number(s.absolute)},
                                           {"relative_error", number(s.relative)},
                                           {"ulp", number(s.spacing)},
                                           {"below", number(s.below)},
                                           {"above", number(s.above)}}));
  }
  return Json::object({{"input", number(exact)}, {"formats", formats}});
}

void print_value(const std::string& text, double exact) {
  TextTable table({"format", "sign exponent mantissa", "value", "error", "relative", "ulp", "below", "above"},
                  "llrrrrrr");
  for (const FloatFormat& format : float_formats()) {
    const Shown s = show_in(format, exact);
    table.add_row({format.name, s.bits, show(s.value), fmt::format("{:.3g}", s.absolute),
                   fmt::format("{:.3g}", s.relative), fmt::format("{:.3g}", s.spacing), show(s.below),
                   show(s.above)});
  }
  print_text(text + " (" + fmt::format("{:.17g}", exact) + " in FP64)\n" + table.str());
}

// methods.md A2: everything from the formats' descriptions.
int print_table(const CommonOptions& common) {
  if (common.json) {
    Json formats = Json::array();
    for (const FloatFormat& f : float_formats()) {
      formats.push_back(Json::object({{"name", f.name},
                                      {"bits", f.bits()},
                                      {"exponent_bits", f.exponent_bits},
                                      {"mantissa_bits", f.mantissa_bits},
                                      {"bias", f.bias},
                                      {"largest", f.largest()},
                                      {"smallest_normal", f.smallest_normal()},
                                      {"smallest_subnormal", f.smallest_subnormal()},
                                      {"epsilon", f.epsilon()},
                                      {"exact_integers", f.exact_integers()},
                                      {"infinity", f.has_infinity}}));
    }
    print_json(Json::object({{"formats", formats}}));
    return kDone;
  }
  TextTable table({"format", "bits s/e/m", "bias", "largest", "smallest normal", "smallest subnormal",
                   "epsilon", "integers exact to", "infinity"},
                  "lrrrrrrrl");
  for (const FloatFormat& f : float_formats()) {
    table.add_row({f.name, fmt::format("1/{}/{}", f.exponent_bits, f.mantissa_bits), std::to_string(f.bias),
                   fmt::format("{:.8g}", f.largest()), fmt::format("{:.6g}", f.smallest_normal()),
                   fmt::format("{:.6g}", f.smallest_subnormal()), fmt::format("{:.6g}", f.epsilon()),
                   format_count(static_cast<int64_t>(f.exact_integers())), f.has_infinity ? "yes" : "no"});
  }
  for (const int bits : {8, 7, 4}) {
    table.add_row({fmt::format("int{}", bits), std::to_string(bits), "",
                   std::to_string(largest_integer(bits)), "", "", "", std::to_string(largest_integer(bits)),
                   "no"});
  }
  print_text(table.str());
  return kDone;
}

int run_tensor(const CommonOptions& common) {
  const Model model = read_model(resolve_model(options.tensor[0]));
  const Tensor* tensor = model.tensors.find(options.tensor[1]);
  if (tensor == nullptr) {
    std::vector<std::string> names;
    for (const auto& entry : model.tensors) names.push_back(entry.name);
    fail(ErrorKind::kInput, "{}: no tensor \"{}\"; did you mean \"{}\"?", options.tensor[0],
         options.tensor[1], nearest(options.tensor[1], names));
  }
  const std::vector<float> values = read_floats(*tensor, options.tensor[1]);
  const int64_t rows = tensor->shape.size() > 1 ? tensor->shape[0] : 1;
  const TensorNumerics numerics = measure_tensor(values, rows, rounding(), overflow());
  if (!options.svg.empty()) write_text_file(options.svg, histogram_svg(options.tensor[1], numerics));
  if (common.json) {
    Json json = to_json(numerics);
    json.set("tensor", options.tensor[1]);
    json.set("shape", to_string(tensor->shape));
    print_json(json);
    return kDone;
  }
  print_text(fmt::format("{} {} {}: {} values, {} zero, largest {:.6g}, rms {:.6g}\n\n", options.tensor[1],
                         name_of(tensor->type), to_string(tensor->shape), format_count(numerics.count),
                         format_count(numerics.zeros), numerics.largest, numerics.rms));
  TextTable table({"format", "overflow", "becomes 0", "subnormal", "largest error", "rms error", "SNR dB"},
                  "lrrrrrr");
  for (const FormatEffect& e : numerics.effects) {
    table.add_row({e.name, format_count(e.overflows), format_count(e.underflows), format_count(e.subnormals),
                   fmt::format("{:.3g}", e.max_error), fmt::format("{:.3g}", e.rms_error),
                   std::isfinite(e.snr_db) ? fmt::format("{:.1f}", e.snr_db) : "exact"});
  }
  print_text(table.str() + "\n" + histogram_text(numerics));
  if (!options.svg.empty()) print_text("written: " + options.svg + "\n");
  return kDone;
}

int run_diagnosis(const CommonOptions& common) {
  const RecordedStep record =
      read_step_record(options.diagnose, options.step < 0 ? std::nullopt : std::optional(options.step));
  const StepDiagnosis diagnosis = diagnose(record, options.format);
  if (common.json) {
    print_json(step_json(record, diagnosis));
  } else {
    print_text(step_text(record, diagnosis, static_cast<std::size_t>(options.tensors)));
  }
  return kDone;
}

int run(const CommonOptions& common) {
  const int asked = (options.table ? 1 : 0) + (options.tensor.empty() ? 0 : 1) +
                    (options.values.empty() ? 0 : 1) + (options.diagnose.empty() ? 0 : 1);
  if (asked != 1)
    fail(ErrorKind::kInput, "wanted numbers, --table, --tensor MODEL NAME, or --diagnose RUN, one of them");
  if (!options.diagnose.empty()) return run_diagnosis(common);
  if (options.table) return print_table(common);
  if (!options.tensor.empty()) return run_tensor(common);
  if (!options.svg.empty()) fail(ErrorKind::kInput, "--svg goes with --tensor");
  Json values = Json::array();
  for (const std::string& text : options.values) {
    const double exact = parse_value(text);
    if (common.json) {
      values.push_back(value_json(exact));
    } else {
      print_value(text, exact);
    }
  }
  if (common.json) print_json(Json::object({{"values", values}}));
  return kDone;
}

}  // namespace

extern const Command numerics_command;
const Command numerics_command = {
    "numerics", "what number formats do to a value, a tensor or a training step",
    "  penjing numerics 0.1 65519 1e-8\n"
    "  penjing numerics --table\n"
    "  penjing numerics --tensor minilm encoder.layer.0.attention.self.query.weight --svg histogram.svg\n"
    "  penjing numerics --diagnose path/to/run --format fp16",
    declare, run};

}  // namespace penjing::cli
