#include "compress/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "io/safetensors.h"

namespace penjing {

namespace {

constexpr std::string_view kInput = ".in";
constexpr float kMovingWeight = 0.01f;

// Calls visit(module, rows, num_rows, dim) for the inputs of the modules asked for, smoothed where asked.
class InputTap : public Tap {
 public:
  using Visit = std::function<void(const std::string&, const float*, int64_t, int64_t)>;
  InputTap(const CalibrationRequest& request, Visit visit) : request_(request), visit_(std::move(visit)) {}

  bool wants(std::string_view site) override {
    if (!site.ends_with(kInput)) return false;
    site.remove_suffix(kInput.size());
    return std::find(request_.modules.begin(), request_.modules.end(), site) != request_.modules.end();
  }
  void on(std::string_view site, int, const float* rows, int64_t num_rows, int64_t dim) override {
    site.remove_suffix(kInput.size());
    const std::string module(site);
    const std::vector<float>* smooth = nullptr;
    if (request_.smooth != nullptr) {
      if (const auto found = request_.smooth->find(module); found != request_.smooth->end())
        smooth = &found->second;
    }
    if (smooth == nullptr) return visit_(module, rows, num_rows, dim);
    smoothed_.assign(rows, rows + num_rows * dim);
    for (std::size_t i = 0; i < smoothed_.size(); ++i)
      smoothed_[i] *= 1 / (*smooth)[i % static_cast<std::size_t>(dim)];
    visit_(module, smoothed_.data(), num_rows, dim);
  }

 private:
  const CalibrationRequest& request_;
  Visit visit_;
  std::vector<float> smoothed_;
};

struct Accumulator {
  SiteStatistics statistics;
  std::vector<double> sum;
};

void accumulate(Accumulator& a, const std::string& module, const float* rows, int64_t num_rows, int64_t dim) {
  SiteStatistics& s = a.statistics;
  const auto width = static_cast<std::size_t>(dim);
  if (s.num_rows == 0) {
    s.channel_max_abs.assign(width, 0);
    a.sum.assign(width, 0);
    s.low = std::numeric_limits<float>::infinity();
    s.high = -s.low;
  }
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (int64_t row = 0; row < num_rows; ++row) {
    for (std::size_t c = 0; c < width; ++c) {
      const float x = rows[row * dim + static_cast<int64_t>(c)];
      if (!std::isfinite(x)) fail(ErrorKind::kFormat, "calibration: the input of {} is {}", module, x);
      low = std::min(low, x);
      high = std::max(high, x);
      s.channel_max_abs[c] = std::max(s.channel_max_abs[c], std::abs(x));
      a.sum[c] += x;
    }
  }
  const bool first = s.num_rows == 0;
  s.moving_low = first ? low : s.moving_low + kMovingWeight * (low - s.moving_low);
  s.moving_high = first ? high : s.moving_high + kMovingWeight * (high - s.moving_high);
  s.low = std::min(s.low, low);
  s.high = std::max(s.high, high);
  s.num_rows += num_rows;
}

void count_values(SiteStatistics& s, const float* values, int64_t count) {
  const double bins_per_unit = s.high > s.low ? kHistogramBins / (double{s.high} - s.low) : 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto bin = static_cast<int64_t>((double{values[i]} - s.low) * bins_per_unit);
    s.histogram[static_cast<std::size_t>(std::clamp<int64_t>(bin, 0, kHistogramBins - 1))] += 1;
  }
}

}  // namespace

std::vector<std::vector<LinearSpec>> linear_groups(const Description& d) {
  std::vector<std::vector<LinearSpec>> groups;
  if (d.embedding.has_projection) groups.push_back({d.embedding.projection});
  for (const Block& block : d.blocks) {
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      // MobileBERT: queries and keys read elsewhere than values.
      if (attention->query_key_input == kNoValue) {
        groups.push_back({attention->query, attention->key, attention->value});
      } else {
        groups.push_back({attention->query, attention->key});
        groups.push_back({attention->value});
      }
      groups.push_back({attention->output});
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      groups.push_back({feed_forward->up});
      if (feed_forward->gated) groups.back().push_back(feed_forward->gate);
      groups.push_back({feed_forward->down});
    } else if (const auto* bottleneck = std::get_if<BottleneckSpec>(&block.part)) {
      groups.push_back({bottleneck->linear});
    } else if (const auto* recurrent = std::get_if<RecurrentSpec>(&block.part)) {
      // The products with the state of the step before stay floats: rounding would be fed back at every
      // token.
      groups.push_back({recurrent->forward_input, recurrent->backward_input});
    }
  }
  return groups;
}

std::vector<LinearSpec> encoder_linears(const Description& description) {
  std::vector<LinearSpec> linears;
  for (const auto& group : linear_groups(description)) {
    for (const LinearSpec& spec : group) {
      const bool known = std::any_of(linears.begin(), linears.end(),
                                     [&](const LinearSpec& other) { return other.name == spec.name; });
      if (!known) linears.push_back(spec);
    }
  }
  return linears;
}

Calibration collect_statistics(const Model& model, const CalibrationRun& run,
                               const CalibrationRequest& request) {
  std::map<std::string, Accumulator> sites;
  InputTap first(request, [&](const std::string& module, const float* rows, int64_t num_rows, int64_t dim) {
    accumulate(sites[module], module, rows, num_rows, dim);
  });
  run(model, first, kAllTexts);
  Calibration result;
  for (const std::string& module : request.modules) {
    const auto site = sites.find(module);
    if (site == sites.end() || site->second.statistics.num_rows == 0)
      fail(ErrorKind::kInput, "calibration: no token reached {}; are there any texts?", module);
    SiteStatistics& s = site->second.statistics;
    for (const double sum : site->second.sum)
      s.channel_mean.push_back(static_cast<float>(sum / static_cast<double>(s.num_rows)));
    if (request.histograms) s.histogram.assign(kHistogramBins, 0);
    result.emplace(module, std::move(s));
  }
  if (request.histograms) {
    InputTap second(request, [&](const std::string& module, const float* rows, int64_t num_rows,
                                 int64_t dim) { count_values(result.at(module), rows, num_rows * dim); });
    run(model, second, kAllTexts);
  }
  return result;
}

std::map<std::string, std::vector<float>> collect_second_moments(const Model& model,
                                                                 const CalibrationRun& run,
                                                                 const CalibrationRequest& request) {
  std::map<std::string, std::vector<float>> moments;
  InputTap tap(request, [&](const std::string& module, const float* rows, int64_t num_rows, int64_t dim) {
    std::vector<float>& h = moments[module];
    const auto width = static_cast<std::size_t>(dim);
    h.resize(width * width, 0);
    // Four rows at a time, so that a line of the result is read and written once for all four.
    const std::vector<float> zeros(width, 0);
    for (int64_t row = 0; row < num_rows; row += 4) {
      const float* x[4];
      for (int64_t i = 0; i < 4; ++i) x[i] = row + i < num_rows ? rows + (row + i) * dim : zeros.data();
      for (std::size_t i = 0; i < width; ++i) {
        float* line = h.data() + i * width;
        const float a = x[0][i], b = x[1][i], c = x[2][i], d = x[3][i];
        for (std::size_t j = i; j < width; ++j)
          line[j] += (a * x[0][j] + b * x[1][j]) + (c * x[2][j] + d * x[3][j]);
      }
    }
  });
  run(model, tap, kAllTexts);
  for (auto& [module, h] : moments) {
    const auto width = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(h.size()))));
    for (std::size_t i = 0; i < width; ++i) {
      for (std::size_t j = 0; j < i; ++j) h[i * width + j] = h[j * width + i];
    }
  }
  return moments;
}

void write_statistics(const std::filesystem::path& path, const Calibration& statistics,
                      const std::string& source) {
  TensorMap tensors;
  for (const auto& [module, s] : statistics) {
    const auto width = static_cast<int64_t>(s.channel_mean.size());
    const float range[] = {s.low, s.high, s.moving_low, s.moving_high, static_cast<float>(s.num_rows)};
    std::vector<float> counts(s.histogram.begin(), s.histogram.end());
    tensors.set(module + ".range", Tensor::from_floats({5}, range));
    tensors.set(module + ".channel_max_abs", Tensor::from_floats({width}, s.channel_max_abs));
    tensors.set(module + ".channel_mean", Tensor::from_floats({width}, s.channel_mean));
    tensors.set(module + ".histogram", Tensor::from_floats({static_cast<int64_t>(counts.size())}, counts));
  }
  write_safetensors(path, tensors, {{"penjing", "calibration statistics"}, {"source", source}});
}

Calibration read_statistics(const std::filesystem::path& path) {
  const Safetensors file = read_safetensors(path);
  Calibration result;
  constexpr std::string_view kRange = ".range";
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.ends_with(kRange)) continue;
    const std::string module = name.substr(0, name.size() - kRange.size());
    const auto read = [&](const char* part) {
      return read_floats(file.tensors.at(module + part), module + part);
    };
    const std::vector<float> range = read_floats(tensor, name), counts = read(".histogram");
    SiteStatistics s;
    s.channel_max_abs = read(".channel_max_abs");
    s.channel_mean = read(".channel_mean");
    const bool sound = range.size() == 5 && s.channel_mean.size() == s.channel_max_abs.size() &&
                       (counts.empty() || counts.size() == kHistogramBins) &&
                       std::all_of(range.begin(), range.end(), [](float v) { return std::isfinite(v); });
    if (!sound)
      fail(ErrorKind::kFormat, "{}: the statistics of {} do not hold together", path.string(), module);
    s.low = range[0], s.high = range[1], s.moving_low = range[2], s.moving_high = range[3];
    s.num_rows = static_cast<int64_t>(range[4]);
    s.histogram.assign(counts.begin(), counts.end());
    result.emplace(module, std::move(s));
  }
  if (result.empty()) fail(ErrorKind::kFormat, "{}: not a file of calibration statistics", path.string());
  return result;
}

}  // namespace penjing
