#include "train/parameter_rules.h"

#include <algorithm>
#include <cmath>
#include <regex>

#include "base/error.h"
#include "model/block_parts.h"

namespace penjing::train {

namespace {

enum class Place { kEmbedding, kLayer, kHead };

struct Located {
  Place place = Place::kHead;
  int layer = 0;
};

// A block's tensors begin with the names of its parts.
Located locate(const std::string& name, const Description& d) {
  const auto below = [&](const std::string& module) {
    return !module.empty() && name.starts_with(module + ".");
  };
  const EmbeddingSpec& e = d.embedding;
  if (below(e.word) || below(e.token_type) || below(e.position.name) || (e.has_norm && below(e.norm.name)) ||
      (e.has_projection && below(e.projection.name))) {
    return {Place::kEmbedding, 0};
  }
  for (const Block& block : d.blocks) {
    // Relative positions belong to all layers: they learn as slowly as the first.
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part);
        attention != nullptr && below(attention->position.name))
      return {Place::kEmbedding, 0};
    const auto is_below = [&](const auto* spec) { return below(spec->name); };
    const auto linears = linears_of(block);
    const auto norms = norms_of(block);
    const bool inside = std::any_of(linears.begin(), linears.end(), is_below) ||
                        std::any_of(norms.begin(), norms.end(), is_below);
    if (inside) return {Place::kLayer, block.layer};
  }
  return {};
}

bool decays(const at::Tensor& tensor) {
  return tensor.dim() > 1;
}

}  // namespace

std::vector<int64_t> layers_of(const Parameters& parameters, const Description& description) {
  std::vector<int64_t> layers;
  for (const Parameters::Entry& entry : parameters) {
    const Located at = locate(entry.name, description);
    layers.push_back(at.place == Place::kHead        ? -1
                     : at.place == Place::kEmbedding ? 0
                                                     : at.layer + int64_t{1});
  }
  return layers;
}

std::vector<ParameterRule> scale_rates(std::span<const ParameterRule> rules, std::span<const int64_t> layers,
                                       const std::function<double(int64_t layer)>& factor) {
  std::vector<ParameterRule> scaled(rules.begin(), rules.end());
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    if (layers[i] >= 0) scaled[i].rate *= factor(layers[i]);
  }
  return scaled;
}

std::vector<ParameterRule> make_rules(const Parameters& parameters, const Description& description,
                                      const RuleSettings& settings) {
  if (!(settings.layer_decay > 0 && settings.layer_decay <= 1)) {
    fail(ErrorKind::kInput, "layer-wise decay of the learning rate {}: wanted 0 < d <= 1",
         settings.layer_decay);
  }
  std::vector<std::regex> patterns;
  for (const ParameterGroup& group : settings.groups) {
    try {
      patterns.emplace_back(group.pattern);
    } catch (const std::regex_error& error) {
      fail(ErrorKind::kInput, "parameter group \"{}\": {}", group.pattern, error.what());
    }
  }
  std::vector<ParameterRule> rules;
  std::vector<int> matched(patterns.size());
  for (const Parameters::Entry& entry : parameters) {
    const Located at = locate(entry.name, description);
    ParameterRule rule;
    rule.weight_decay = decays(entry.tensor) ? settings.weight_decay : 0;
    const auto layers = static_cast<double>(description.num_layers);
    if (at.place == Place::kLayer) rule.rate = std::pow(settings.layer_decay, layers - at.layer);
    if (at.place == Place::kEmbedding) rule.rate = std::pow(settings.layer_decay, layers + 1);
    rule.frozen = (settings.freeze_encoder && at.place != Place::kHead) ||
                  (settings.only_layers && at.place != Place::kLayer);
    const double of_place = rule.rate;
    for (std::size_t g = 0; g < patterns.size(); ++g) {
      if (!std::regex_search(entry.name, patterns[g])) continue;
      ++matched[g];
      rule.rate = of_place * settings.groups[g].rate;
      rule.frozen = settings.groups[g].frozen;
      if (settings.groups[g].weight_decay >= 0) rule.weight_decay = settings.groups[g].weight_decay;
    }
    rules.push_back(rule);
  }
  for (std::size_t g = 0; g < patterns.size(); ++g) {
    if (matched[g] == 0 && !settings.groups[g].optional) {
      fail(ErrorKind::kInput, "parameter group \"{}\" matches no parameter", settings.groups[g].pattern);
    }
  }
  return rules;
}

}  // namespace penjing::train
