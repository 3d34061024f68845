#include "distill/outputs_tap.h"

#include "base/error.h"

namespace penjing::distill {

namespace {

constexpr unsigned kOfScores = kScores | kAttention;

}  // namespace

OutputsTap::OutputsTap(const Description& description, const OutputNeeds& needs, train::TensorTap* next)
    : layers_(needs.layers), next_(next) {
  outputs_.layers.resize(static_cast<std::size_t>(description.num_layers) + 1);
  if ((layers_(0) & kStates) != 0) want("embeddings.out", outputs_.layers[0].rows, "the embeddings");
  // The last block of a layer gives its hidden states.
  std::vector<std::string> last(outputs_.layers.size());
  for (const Block& block : description.blocks) {
    const auto layer = static_cast<std::size_t>(block.layer) + 1;
    last[layer] = block.name;
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention == nullptr) continue;
    LayerOutputs& outputs = outputs_.layers[layer];
    outputs.num_heads = attention->num_heads;
    const unsigned wanted = layers_(static_cast<int64_t>(layer));
    const std::string of_layer = fmt::format(" of layer {}", layer);
    if ((wanted & kQuery) != 0) want(attention->query.name + ".out", outputs.query, "queries" + of_layer);
    if ((wanted & kKey) != 0) want(attention->key.name + ".out", outputs.key, "keys" + of_layer);
    if ((wanted & kValue) != 0) want(attention->value.name + ".out", outputs.value, "values" + of_layer);
  }
  for (std::size_t layer = 1; layer < last.size(); ++layer) {
    if ((layers_(static_cast<int64_t>(layer)) & kStates) == 0) continue;
    want(last[layer] + ".out", outputs_.layers[layer].rows, fmt::format("hidden states of layer {}", layer));
  }
  for (const HeadSpec& head : description.heads) {
    if (!head.has_projection) continue;
    const bool tokens = head.kind == HeadKind::kMaskedLm;
    if ((needs.whole & (tokens ? kTokenLogits : kLogits)) == 0) continue;
    want(head.projection.name + ".out", tokens ? outputs_.token_logits : outputs_.logits, "logits");
  }
  if ((needs.whole & kEmbeddings) != 0) {
    want(std::string(train::kSentenceSite), outputs_.embeddings, "sentence embeddings");
  }
}

void OutputsTap::want(const std::string& site, at::Tensor& tensor, const std::string& what) {
  places_.emplace(site, Place{&tensor, what});
}

bool OutputsTap::wants(std::string_view site) {
  return places_.contains(site) || (next_ != nullptr && next_->wants(site));
}

void OutputsTap::on(std::string_view site, int layer, const at::Tensor& rows) {
  const auto [begin, end] = places_.equal_range(site);
  for (auto place = begin; place != end; ++place) {
    if (place->second.tensor->defined()) {
      fail(ErrorKind::kUnsupported,
           "this task runs the encoder several times a step: it cannot be distilled");
    }
    *place->second.tensor = rows;
  }
  if (next_ != nullptr && next_->wants(site)) next_->on(site, layer, rows);
}

bool OutputsTap::wants_scores(int layer) {
  return (layers_(layer + 1) & kOfScores) != 0 || (next_ != nullptr && next_->wants_scores(layer));
}

void OutputsTap::on_scores(int layer, const train::AttentionScores& scores) {
  if ((layers_(layer + 1) & kOfScores) != 0) {
    outputs_.layers[static_cast<std::size_t>(layer) + 1].scores = scores.before;
  }
  if (next_ != nullptr && next_->wants_scores(layer)) next_->on_scores(layer, scores);
}

Outputs OutputsTap::take() {
  bool logits = false;
  for (const auto& [site, place] : places_) {
    if (place.tensor == &outputs_.logits || place.tensor == &outputs_.token_logits) {
      logits = logits || place.tensor->defined();  // of several heads one has run
      continue;
    }
    if (!place.tensor->defined()) {
      fail(ErrorKind::kUnsupported, "this task's forward gives no {}: a loss needs them", place.what);
    }
  }
  const bool wanted = std::any_of(places_.begin(), places_.end(),
                                  [](const auto& entry) { return entry.second.what == "logits"; });
  if (wanted && !logits)
    fail(ErrorKind::kUnsupported, "this task's forward gives no logits: a loss needs them");
  return std::move(outputs_);
}

}  // namespace penjing::distill
