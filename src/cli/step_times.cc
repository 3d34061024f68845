#include "cli/step_times.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "eval/statistics.h"

namespace penjing::cli {

namespace {

template <typename Same>
std::vector<StepRow> sum_rows(const std::vector<StepRow>& rows, Same same) {
  std::vector<StepRow> sums;
  for (const StepRow& row : rows) {
    const auto found =
        std::find_if(sums.begin(), sums.end(), [&](const StepRow& sum) { return same(sum, row); });
    if (found == sums.end()) {
      sums.push_back(row);
    } else {
      found->add(row);
    }
  }
  return sums;
}

}  // namespace

double milliseconds(StepEvent::Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void StepRecorder::on_step(const StepEvent& event) {
  if (rounds_.empty()) {
    steps_.push_back(describe_step(event));
  } else {
    rounds_.back().push_back({event.duration, {event.pieces.begin(), event.pieces.end()}});
  }
}

void StepRow::add(const StepRow& other) {
  count += other.count;
  ms += other.ms;
  operations += other.operations;
  weight_bytes += other.weight_bytes;
  activation_bytes += other.activation_bytes;
  compute_ms += other.compute_ms;
  memory_ms += other.memory_ms;
}

const char* StepRow::bound() const {
  constexpr double kHalf = 0.5, kAboveMemory = 1.1;
  if (peak_share() >= kHalf) return "compute";
  if (memory_share() > kAboveMemory) return "caches";
  if (memory_share() >= kHalf) return "memory";
  return "overhead";
}

std::vector<StepRow> median_rows(const StepRecorder& recorder, const Roofs& roofs) {
  std::vector<StepRow> rows;
  for (std::size_t i = 0; i < recorder.steps().size(); ++i) {
    std::vector<double> times;
    for (const auto& round : recorder.rounds()) {
      if (round.size() != recorder.steps().size()) {
        fail(ErrorKind::kInternal, "a forward of {} steps, wanted {}", round.size(), recorder.steps().size());
      }
      times.push_back(milliseconds(round[i].duration));
    }
    const StepDescription& step = recorder.steps()[i];
    StepRow row;
    row.kind = step.kind;
    row.operation = step.operation;
    row.layer = step.layer;
    row.count = 1;
    row.ms = quantile(times, 0.5);
    row.operations = step.operations;
    row.weight_bytes = step.weight_bytes;
    row.activation_bytes = step.activation_bytes;
    const double peak = step.arithmetic == Arithmetic::kI8     ? roofs.i8
                        : step.arithmetic == Arithmetic::kBf16 ? roofs.bf16
                                                               : roofs.f32;
    const auto bytes = static_cast<double>(step.weight_bytes + step.activation_bytes);
    row.compute_ms = peak > 0 ? static_cast<double>(step.operations) / peak * 1e3 : 0;
    row.memory_ms = roofs.bandwidth > 0 ? bytes / roofs.bandwidth * 1e3 : 0;
    rows.push_back(row);
  }
  return rows;
}

std::vector<StepRow> sum_by_operation(const std::vector<StepRow>& rows) {
  return sum_rows(rows, [](const StepRow& a, const StepRow& b) {
    return a.kind == b.kind && a.operation == b.operation;
  });
}

std::vector<StepRow> sum_by_layer(const std::vector<StepRow>& rows) {
  auto sums = sum_rows(rows, [](const StepRow& a, const StepRow& b) { return a.layer == b.layer; });
  std::stable_sort(sums.begin(), sums.end(),
                   [](const StepRow& a, const StepRow& b) { return a.layer < b.layer; });
  return sums;
}

}  // namespace penjing::cli
