#include "distill/runtime_teacher.h"

#include <map>

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
    if (block.layer + 1 == layer && std::holds_alternative<AttentionSpec>(block.part))
      return &std::get<AttentionSpec>(block.part);
  }
  return nullptr;
}

// Gathers what one call of the runtime shows, which may be several forwards in turn, and hands it on as one.
class RuntimeTap final : public Tap {
 public:
  RuntimeTap(const Description& description, OutputsTap& to) : description_(description), to_(to) {
    for (int64_t layer = 1; layer <= description.num_layers; ++layer) {
      const AttentionSpec* attention = attention_of(description, layer);
      if (attention == nullptr || !to.wants_scores(static_cast<int>(layer) - 1)) continue;
      of_scores_[attention->query.name + ".out"] = of_scores_[attention->key.name + ".out"] = layer;
    }
  }
  bool wants(std::string_view site) override { return to_.wants(site) || of_scores_.contains(site); }
  void on(std::string_view site, int layer, const float* rows, int64_t num_rows, int64_t dim) override {
    Seen& seen = seen_[std::string(site)];
    seen.layer = layer;
    seen.rows.push_back(at::from_blob(const_cast<float*>(rows), {num_rows, dim}, at::kFloat).clone());
  }
  void hand_on(std::span<const int64_t> offsets) {
    std::map<std::string, at::Tensor, std::less<>> all;
    for (const auto& [site, seen] : seen_) {
      const at::Tensor rows = seen.rows.size() == 1 ? seen.rows.front() : at::cat(seen.rows);
      if (to_.wants(site)) to_.on(site, seen.layer, rows);
      if (of_scores_.contains(site)) all[site] = rows;
    }
    for (int64_t layer = 1; layer <= description_.num_layers; ++layer) {
      if (!to_.wants_scores(static_cast<int>(layer) - 1)) continue;
      const AttentionSpec& attention = *attention_of(description_, layer);
      to_.on_scores(static_cast<int>(layer) - 1, scores(attention, all.at(attention.query.name + ".out"),
                                                        all.at(attention.key.name + ".out"), offsets));
    }
  }

 private:
  struct Seen {
    int layer = -1;
    std::vector<at::Tensor> rows;
  };
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

  const Description& description_;
  OutputsTap& to_;
  std::map<std::string, int64_t, std::less<>>
      of_scores_;  // queries and keys of the layers that they are wanted of
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
  if (predictor_ == nullptr || kind != kind_) predictor_ = new_predictor_(*model_, kind);
  kind_ = kind;
  RaggedBatch batch;
  std::vector<int64_t> prompts;
  std::vector<int32_t> mapped;
  for (const int64_t i : examples) {
    for (const train::Sequence& sequence : task.sequences(i)) {
      mapped = sequence.ids;
      if (!token_map_.empty()) {
        for (int32_t& id : mapped) id = static_cast<int32_t>(token_map_[static_cast<std::size_t>(id)]);
      }
      batch.append(mapped, sequence.types);
      prompts.push_back(sequence.prompt);
    }
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
