#include "cli/model_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "model/statistics.h"

namespace penjing::cli {

namespace {

// "encoder.layer.3.output.dense" -> "encoder.layer.*.output.dense"
std::string without_numbers(const std::string& name) {
  std::string result;
  for (std::size_t i = 0; i < name.size();) {
    std::size_t end = i;
    while (end < name.size() && std::isdigit(static_cast<unsigned char>(name[end])) != 0) ++end;
    const bool whole = end > i && (i == 0 || name[i - 1] == '.') && (end == name.size() || name[end] == '.');
    if (whole) {
      result += '*';
      i = end;
    } else {
      result += name[i++];
    }
  }
  return result;
}

std::string judge(const LayerGroup& group) {
  if (group.pattern == ZeroPattern::kNone) return "";
  if (group.sparse)
    return fmt::format("zero blocks are skipped: {:.0f} % of the work", 100 * group.zero_blocks);
  if (group.pattern == ZeroPattern::kBlocks) {
    if (group.worthwhile >= 1) return "computed dense: no sparse kernel for this number format";
    return fmt::format("computed dense: skipping pays from {:.0f} % zero blocks on", 100 * group.worthwhile);
  }
  if (group.pattern == ZeroPattern::kTwoOfFour) {
    return "computed dense: no CPU gains by 2:4; prune --pattern 4x1 makes zeros that are skipped";
  }
  return fmt::format(
      "computed dense: {:.0f} % of the 4x1 blocks are zero, too few; prune --pattern 4x1 makes zeros that "
      "are skipped",
      100 * group.zero_blocks);
}

}  // namespace

const char* to_string(ZeroPattern pattern) {
  switch (pattern) {
    case ZeroPattern::kNone:
      return "none";
    case ZeroPattern::kBlocks:
      return "4x1";
    case ZeroPattern::kTwoOfFour:
      return "2:4";
    case ZeroPattern::kUnstructured:
      return "unstructured";
  }
  return "";
}

ZeroReport find_zeros(const Tensor& weight, const std::string& name) {
  const TensorStatistics statistics = measure_tensor(weight, name);
  ZeroReport report{ZeroPattern::kNone, statistics.zeros, statistics.zeros_4x1};
  if (statistics.zeros < 0.02) return report;
  if (statistics.zeros_4x1 >= 0.9 * statistics.zeros) {
    report.pattern = ZeroPattern::kBlocks;
  } else if (statistics.pairs_2of4 >= 0.99 && statistics.zeros < 0.6) {
    report.pattern = ZeroPattern::kTwoOfFour;
  } else {
    report.pattern = ZeroPattern::kUnstructured;
  }
  return report;
}

std::vector<LayerGroup> group_layers(const Model& model, const Engine& engine) {
  std::vector<LayerGroup> groups;
  for (const ProductChoice& choice : engine.product_choices()) {
    const Tensor* weight = model.tensors.find(choice.name + ".weight");
    ZeroReport zeros{ZeroPattern::kNone, 0, choice.zero_blocks};
    if (weight != nullptr && weight->shape.size() == 2) zeros = find_zeros(*weight, choice.name + ".weight");
    const std::string name = without_numbers(choice.name);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const LayerGroup& known) {
      return known.name == name && known.kernel == choice.kernel && known.pattern == zeros.pattern &&
             known.out == choice.out && known.in == choice.in;
    });
    if (group == groups.end()) {
      group = groups.insert(group, LayerGroup{});
      group->name = name;
      group->kernel = choice.kernel;
      group->out = choice.out;
      group->in = choice.in;
      group->sparse = choice.sparse;
      group->pattern = zeros.pattern;
      group->worthwhile = choice.worthwhile;
    }
    group->matrices += 1;
    group->zeros += zeros.zeros;
    group->zero_blocks += zeros.zero_blocks;
  }
  for (LayerGroup& group : groups) {
    group.zeros /= static_cast<double>(group.matrices);
    group.zero_blocks /= static_cast<double>(group.matrices);
    group.verdict = judge(group);
  }
  return groups;
}

}  // namespace penjing::cli
