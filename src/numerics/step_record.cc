#include "numerics/step_record.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/output_file.h"

namespace penjing {

namespace {

constexpr NumberRole kRoles[] = {NumberRole::kActivation, NumberRole::kActivationGradient,
                                 NumberRole::kWeight, NumberRole::kWeightGradient, NumberRole::kUpdate};
constexpr std::size_t kBlock = 1024;

const Json& member(const Json& json, std::string_view key, std::string_view where) {
  const Json* value = json.find(key);
  if (value == nullptr) fail(ErrorKind::kFormat, "{}: no \"{}\"", where, key);
  return *value;
}

int64_t count_of(const Json& json, std::string_view key, std::string_view where) {
  const int64_t count = member(json, key, where).as_int(fmt::format("{}.{}", where, key));
  if (count < 0) fail(ErrorKind::kFormat, "{}.{}: wanted a count, found {}", where, key, count);
  return count;
}

NumberRole parse_role(const std::string& name, std::string_view where) {
  for (const NumberRole role : kRoles) {
    if (name == name_of(role)) return role;
  }
  fail(ErrorKind::kFormat, "{}: unknown role \"{}\"", where, name);
}

std::optional<int64_t> parse_step(std::string_view name) {
  if (!name.starts_with("step-") || !name.ends_with(".json")) return std::nullopt;
  const std::string_view digits = name.substr(5, name.size() - 10);
  int64_t step = 0;
  const auto [stopped, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || stopped != digits.data() + digits.size()) return std::nullopt;
  return step;
}

}  // namespace

const char* name_of(NumberRole role) {
  switch (role) {
    case NumberRole::kActivation:
      return "activation";
    case NumberRole::kActivationGradient:
      return "activation_gradient";
    case NumberRole::kWeight:
      return "weight";
    case NumberRole::kWeightGradient:
      return "weight_gradient";
    case NumberRole::kUpdate:
      return "update";
  }
  fail(ErrorKind::kInternal, "role {}", static_cast<int>(role));
}

void RangeLoss::add(const RangeLoss& other) {
  overflows += other.overflows;
  underflows += other.underflows;
}

RangeLoss range_loss(const FloatFormat& format, std::span<const float> values, double scale) {
  RangeLoss loss;
  const double least = format.smallest_subnormal();
  float scaled[kBlock], rounded[kBlock];
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    for (std::size_t i = 0; i < block.size(); ++i)
      scaled[i] = static_cast<float>(static_cast<double>(block[i]) * scale);
    round_floats(format, Rounding::kNearestEven, Overflow::kInfinity, {scaled, block.size()},
                 {rounded, block.size()});
    for (std::size_t i = 0; i < block.size(); ++i) {
      loss.overflows += std::isfinite(block[i]) && !std::isfinite(rounded[i]) ? 1 : 0;
      loss.underflows += block[i] != 0 && std::fabs(static_cast<double>(block[i]) * scale) < least ? 1 : 0;
    }
  }
  return loss;
}

int64_t count_swamped(const FloatFormat& format, std::span<const float> before,
                      std::span<const float> after) {
  int64_t swamped = 0;
  float weight[kBlock], update[kBlock], sum[kBlock];
  const auto round = [&](float* values, std::size_t count) {
    round_floats(format, Rounding::kNearestEven, Overflow::kInfinity, {values, count}, {values, count});
  };
  for (std::size_t begin = 0; begin < before.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, before.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      weight[i] = before[begin + i];
      update[i] = after[begin + i] - before[begin + i];
    }
    round(weight, count);
    round(update, count);
    // FP32 has over twice the digits of these formats: rounding its sum again is as rounding the exact one.
    for (std::size_t i = 0; i < count; ++i) sum[i] = weight[i] + update[i];
    round(sum, count);
    for (std::size_t i = 0; i < count; ++i)
      swamped += after[begin + i] != before[begin + i] && sum[i] == weight[i] ? 1 : 0;
  }
  return swamped;
}

double recorded_scale(const FloatFormat& format, NumberRole role, float largest, double loss_scale) {
  if (format.bits() == 8) return largest > 0 ? format.largest() / static_cast<double>(largest) : 1;
  const bool gradient = role == NumberRole::kActivationGradient || role == NumberRole::kWeightGradient;
  return gradient ? loss_scale : 1;
}

Json RecordedStep::to_json() const {
  Json list = Json::array();
  for (const RecordedTensor& t : tensors) {
    Json lost = Json::object(), swamped = Json::object();
    for (std::size_t f = 0; f < kRecordedFormats.size(); ++f) {
      lost.set(kRecordedFormats[f],
               Json::object({{"overflows", t.lost[f].overflows}, {"underflows", t.lost[f].underflows}}));
    }
    Json entry = Json::object({{"name", t.name},
                               {"layer", t.layer},
                               {"role", name_of(t.role)},
                               {"histogram", t.histogram.to_json()},
                               {"lost", lost}});
    if (t.role == NumberRole::kUpdate) {
      for (std::size_t f = 0; f < kSwampFormats.size(); ++f) swamped.set(kSwampFormats[f], t.swamped[f]);
      entry.set("swamped", swamped);
    }
    list.push_back(entry);
  }
  return Json::object({{"version", 1},
                       {"step", step},
                       {"precision", precision},
                       {"loss_scale", loss_scale},
                       {"tensors", list}});
}

RecordedStep RecordedStep::from_json(const Json& json, std::string_view where) {
  const int64_t version = member(json, "version", where).as_int(fmt::format("{}: version", where));
  if (version != 1)
    fail(ErrorKind::kUnsupported, "{}: a step record of version {}, wanted 1", where, version);
  RecordedStep record;
  record.step = count_of(json, "step", where);
  record.precision = member(json, "precision", where).as_string(fmt::format("{}: precision", where));
  record.loss_scale = member(json, "loss_scale", where).as_double(fmt::format("{}: loss_scale", where));
  if (!(record.loss_scale > 0) || !std::isfinite(record.loss_scale))
    fail(ErrorKind::kFormat, "{}: loss_scale is {}, wanted a number above 0", where, record.loss_scale);
  for (const Json& entry : member(json, "tensors", where).as_array(fmt::format("{}: tensors", where))) {
    RecordedTensor t;
    t.name = member(entry, "name", where).as_string(fmt::format("{}: tensors.name", where));
    const std::string at = fmt::format("{}: {}", where, t.name);
    t.layer = member(entry, "layer", at).as_string(at + ".layer");
    t.role = parse_role(member(entry, "role", at).as_string(at + ".role"), at);
    t.histogram = ExponentHistogram::from_json(member(entry, "histogram", at), at + ".histogram");
    const Json& lost = member(entry, "lost", at);
    for (std::size_t f = 0; f < kRecordedFormats.size(); ++f) {
      const Json& format = member(lost, kRecordedFormats[f], at);
      t.lost[f] = {count_of(format, "overflows", at), count_of(format, "underflows", at)};
    }
    if (t.role == NumberRole::kUpdate) {
      const Json& swamped = member(entry, "swamped", at);
      for (std::size_t f = 0; f < kSwampFormats.size(); ++f)
        t.swamped[f] = count_of(swamped, kSwampFormats[f], at);
    }
    record.tensors.push_back(std::move(t));
  }
  return record;
}

std::string layer_of(std::string_view name) {
  constexpr std::string_view kLayer = "layer.";
  const auto found = name.find(kLayer);
  if (found != std::string_view::npos) {
    std::string_view digits = name.substr(found + kLayer.size());
    digits = digits.substr(0, digits.find_first_not_of("0123456789"));
    if (!digits.empty()) return std::string(digits);
  }
  return name.starts_with("embeddings") ? "embeddings" : "head";
}

std::filesystem::path step_record_path(const std::filesystem::path& run, int64_t step) {
  return run / "numerics" / fmt::format("step-{}.json", step);
}

void write_step_record(const std::filesystem::path& run, const RecordedStep& record) {
  const std::filesystem::path path = step_record_path(run, record.step);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) fail(ErrorKind::kIo, "{}: {}", path.parent_path().string(), error.message());
  write_text_file(path, record.to_json().dump() + "\n");
}

RecordedStep read_step_record(const std::filesystem::path& run, std::optional<int64_t> step) {
  std::set<int64_t> steps;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(run / "numerics", error)) {
    if (const auto found = parse_step(entry.path().filename().string())) steps.insert(*found);
  }
  if (steps.empty())
    fail(ErrorKind::kInput, "{}: no recorded step (wanted {}); train with --record-step N", run.string(),
         (run / "numerics" / "step-N.json").string());
  if (step && !steps.contains(*step)) {
    std::string known;
    for (const int64_t s : steps) known += (known.empty() ? "" : ", ") + std::to_string(s);
    fail(ErrorKind::kInput, "{}: step {} was not recorded; there are {}", run.string(), *step, known);
  }
  const std::filesystem::path path = step_record_path(run, step.value_or(*steps.rbegin()));
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) fail(ErrorKind::kIo, "{}: cannot be read", path.string());
  return RecordedStep::from_json(Json::parse(text.str(), path.string()), path.string());
}

}  // namespace penjing
