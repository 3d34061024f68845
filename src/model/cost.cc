#include "model/cost.h"

#include <algorithm>
#include <set>

namespace penjing {

namespace {

int64_t parameters_of(const LinearSpec& spec) {
  return spec.in * spec.out + (spec.bias ? spec.out : 0);
}
int64_t parameters_of(const NormSpec& norm) {
  return norm.width * (norm.bias ? 2 : 1);
}
int64_t flops_of(const LinearSpec& spec, int64_t rows) {
  return 2 * rows * spec.in * spec.out;
}

class Counter {
 public:
  explicit Counter(int64_t length) : length_(length) {}
  std::vector<PartCost> costs;

  void add(const char* part, int layer, int64_t parameters, int64_t flops) {
    if (parameters != 0 || flops != 0) costs.push_back({part, layer, parameters, flops});
  }
  void add_block(const Block& block) {
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      for (const LinearSpec* spec :
           {&attention->query, &attention->key, &attention->value, &attention->output}) {
        add("attention", block.layer, parameters_of(*spec), flops_of(*spec, length_));
      }
      if (attention->position.scheme == PositionScheme::kRelativeBuckets &&
          tables_.insert(attention->position.name).second) {
        add("attention", -1, attention->position.count * attention->num_heads, 0);  // shared by the layers
      }
      const int64_t keys = attention->window > 0 ? std::min(length_, 2 * attention->window + 1) : length_;
      add("scores", block.layer, 0, 4 * length_ * keys * attention->num_heads * attention->head_dim);
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      add("feed_forward", block.layer, parameters_of(feed_forward->up), flops_of(feed_forward->up, length_));
      if (feed_forward->gated) {
        add("feed_forward", block.layer, parameters_of(feed_forward->gate),
            flops_of(feed_forward->gate, length_));
      }
      add("feed_forward", block.layer, parameters_of(feed_forward->down),
          flops_of(feed_forward->down, length_));
    } else if (const auto* bottleneck = std::get_if<BottleneckSpec>(&block.part)) {
      add("bottleneck", block.layer, parameters_of(bottleneck->linear),
          flops_of(bottleneck->linear, length_));
    } else if (const auto* recurrent = std::get_if<RecurrentSpec>(&block.part)) {
      for (const LinearSpec* spec : {&recurrent->forward_input, &recurrent->forward_hidden,
                                     &recurrent->backward_input, &recurrent->backward_hidden}) {
        add("recurrent", block.layer, parameters_of(*spec), flops_of(*spec, length_));
      }
    } else {
      add("layer_norm", block.layer, parameters_of(std::get<NormSpec>(block.part)), 0);
    }
    if (block.norm_place != NormPlace::kNone) add("layer_norm", block.layer, parameters_of(block.norm), 0);
  }

 private:
  int64_t length_;
  std::set<std::string> tables_;
};

}  // namespace

std::vector<PartCost> measure_cost(const Description& d, int64_t sequence_length) {
  Counter counter(sequence_length);
  const EmbeddingSpec& e = d.embedding;
  int64_t tables = e.vocab_size * e.width + (e.token_type.empty() ? 0 : e.type_vocab_size * e.table_width());
  if (e.position.scheme == PositionScheme::kLearned || e.position.scheme == PositionScheme::kLearnedOffset) {
    tables += e.position.count * e.table_width();
  }
  if (e.has_norm) tables += parameters_of(e.norm);
  counter.add("embeddings", -1, tables, 0);
  if (e.has_projection)
    counter.add("embeddings", -1, parameters_of(e.projection), flops_of(e.projection, sequence_length));
  for (const Block& block : d.blocks) counter.add_block(block);
  for (const HeadSpec& head : d.heads) {
    const bool pooler = head.kind == HeadKind::kPooler;
    const bool per_sequence = pooler || head.kind == HeadKind::kSequenceClassifier;
    const int64_t rows = per_sequence ? 1 : sequence_length;
    // The pooler's dense layer is also the first step of BERT's classifier: counted once.
    const bool counted = head.kind == HeadKind::kSequenceClassifier &&
                         d.find_head(HeadKind::kPooler) != nullptr && head.has_dense &&
                         head.dense.name == d.find_head(HeadKind::kPooler)->dense.name;
    if (head.input == HeadInput::kAttended) {
      for (const LinearSpec* spec : {&head.attention, &head.attention_score})
        counter.add("heads", -1, parameters_of(*spec), flops_of(*spec, sequence_length));
    }
    if (head.has_dense && !counted) {
      counter.add(pooler ? "pooler" : "heads", -1, parameters_of(head.dense), flops_of(head.dense, rows));
    }
    if (head.has_norm) counter.add("heads", -1, parameters_of(head.norm), 0);
    if (head.has_projection) {
      int64_t own = parameters_of(head.projection);
      if (head.tied_to_word_embeddings) own -= head.projection.out * projection_row_width(d, head);
      counter.add("heads", -1, own, flops_of(head.projection, rows));
    }
  }
  return counter.costs;
}

std::vector<PartCost> sum_parts(const std::vector<PartCost>& costs) {
  std::vector<PartCost> sums;
  for (const PartCost& cost : costs) {
    PartCost* sum = nullptr;
    for (PartCost& existing : sums) {
      if (existing.part == cost.part) sum = &existing;
    }
    if (sum == nullptr) sum = &sums.emplace_back(PartCost{cost.part, -1, 0, 0});
    sum->parameters += cost.parameters;
    sum->flops += cost.flops;
  }
  return sums;
}

}  // namespace penjing
