#include "distill/runtime_teacher.h"

#include <map>
#include <set>

#include "base/error.h"
#include "train/ops.h"

namespace penjing::distill {

namespace {

OutputKind kind_of(unsigned whole) {
  return (whole & kLogits) != 0       ? OutputKind::kClassLogits
         : (whole & kEmbeddings) != 0 ? OutputKind::kEmbedding
                                      : OutputKind::kHidden;
}

const AttentionSpec* attention_of(const Description& description, int64_t layer) {
  for (const Block& block : description.blocks) {
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention != nullptr && block.layer + 1 == layer) return attention;
  }
  return nullptr;
}

// Gathers what one call of the runtime shows, which may be several forwards in turn, and hands it on as one.
class RuntimeTap final : public Tap {
 public:
  RuntimeTap(const Description& description, OutputsTap& to) : to_(to) {
    for (int layer = 0; layer < description.num_layers; ++layer) {
      const AttentionSpec* attention = attention_of(description, layer + 1);
      if (attention == nullptr || !to.wants_scores(layer)) continue;
      scored_[layer] = attention;
      sites_of_scores_.insert({query_site(*attention), key_site(*attention)});
    }
  }
  bool wants(std::string_view site) override { return to_.wants(site) || sites_of_scores_.contains(site); }
  void on(std::string_view site, int layer, const float* rows, int64_t num_rows, int64_t dim) override {
    Seen& seen = seen_[std::string(site)];
    seen.layer = layer;
    seen.parts.push_back(at::from_blob(const_cast<float*>(rows), {num_rows, dim}, at::kFloat).clone());
  }
  void hand_on(std::span<const int64_t> offsets) {
    for (const auto& [site, seen] : seen_) {
      if (to_.wants(site)) to_.on(site, seen.layer, seen.rows());
    }
    for (const auto& [layer, attention] : scored_) {
      const at::Tensor query = seen_.at(query_site(*attention)).rows();
      to_.on_scores(layer, scores(*attention, query, seen_.at(key_site(*attention)).rows(), offsets));
    }
  }

 private:
  struct Seen {
    int layer = -1;
    std::vector<at::Tensor> parts;
    at::Tensor rows() const { return parts.size() == 1 ? parts.front() : at::cat(parts); }
  };
  static std::string query_site(const AttentionSpec& attention) { return attention.query.name + ".out"; }
  static std::string key_site(const AttentionSpec& attention) { return attention.key.name + ".out"; }
  // Of each sequence Q K^T * scale, [heads, length, length].
  static train::AttentionScores scores(const AttentionSpec& attention, const at::Tensor& query,
                                       const at::Tensor& key, std::span<const int64_t> offsets) {
    train::AttentionScores scores;
    const auto heads = [&](const at::Tensor& rows, std::size_t i) {
      return rows.slice(0, offsets[i], offsets[i + 1])
          .view({-1, attention.num_heads, attention.head_dim})
          .transpose(0, 1);
    };
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
      scores.before.push_back(heads(query, i).matmul(heads(key, i).transpose(1, 2)) * attention.scale);
    return scores;
  }

  OutputsTap& to_;
  std::map<int, const AttentionSpec*> scored_;  // layers whose scores are wanted, from 0
  std::set<std::string, std::less<>> sites_of_scores_;
  std::map<std::string, Seen> seen_;
};

}  // namespace

bool RuntimeTeacher::can_say(const Model& teacher, std::span<const AnswerPart> parts) {
  if (parts.empty() || !teacher.config.contains("quantization_config")) return false;
  const Description& d = teacher.description;
  unsigned whole = 0;
  for (const AnswerPart& part : parts) {
    if ((part.need & kLayered) == 0) whole |= part.need;
    if (part.need != kScores) continue;
    const AttentionSpec* attention = attention_of(d, part.layer);
    if (attention == nullptr || attention->window != 0 || attention->position.scheme != PositionScheme::kNone)
      return false;
  }
  if (whole == kLogits) return d.find_head(HeadKind::kSequenceClassifier) != nullptr;
  if (whole == kEmbeddings) return !teacher.sentence.modules.empty();
  return whole == 0;
}

RuntimeTeacher::RuntimeTeacher(std::shared_ptr<const Model> model, NewPredictor new_predictor)
    : model_(std::move(model)), new_predictor_(std::move(new_predictor)) {}

Outputs RuntimeTeacher::run(const train::Objective& task, const OutputNeeds& needs,
                            std::span<const int64_t> examples) {
  const OutputKind kind = kind_of(needs.whole);
  if (predictor_ == nullptr || !predictor_->supports(kind)) predictor_ = new_predictor_(*model_, kind);
  RaggedBatch batch;
  std::vector<int64_t> prompts;
  for (const int64_t i : examples) {
    for (const train::Sequence& sequence : task.sequences(i)) {
      batch.append(sequence.ids, sequence.types);
      prompts.push_back(sequence.prompt);
    }
  }
  if (!token_map_.empty()) {
    for (int32_t& id : batch.ids) id = static_cast<int32_t>(token_map_[static_cast<std::size_t>(id)]);
  }
  OutputsTap outputs_tap(model_->description, {needs.layers, 0}, nullptr);
  RuntimeTap tap(model_->description, outputs_tap);
  Request request{kind};
  request.tap = &tap;
  if (kind == OutputKind::kEmbedding) request.prompt_lengths = prompts;
  const Prediction said = predictor_->predict(batch, request);
  tap.hand_on(batch.offsets);
  Outputs outputs = outputs_tap.take();
  if (kind == OutputKind::kHidden) return outputs;
  const at::Tensor rows = at::tensor(said.values, at::kFloat).view({said.num_rows, said.dim});
  (kind == OutputKind::kEmbedding ? outputs.embeddings : outputs.logits) = rows;
  return outputs;
}

}  // namespace penjing::distill
