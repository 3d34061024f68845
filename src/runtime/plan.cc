#include "runtime/plan.h"

#include <cmath>

#include "base/error.h"
#include "model/exits.h"
#include "runtime/stops.h"

namespace penjing {
namespace {

class EncoderPlanner {
 public:
  EncoderPlanner(const Model& model, LinearPacker& packer)
      : model_(model), builder_(model, packer), exits_(read_exits(model)) {}

  Program plan() {
    plan_embedding();
    add_stops();
    for (const Block& block : model_.description.blocks) {
      plan_block(block);
      add_stops();
    }
    return builder_.finish(value(model_.description.output, "output"));
  }

 private:
  int value(int index, const std::string& reader) const {
    if (index < 0 || index >= static_cast<int>(values_.size())) {
      fail(ErrorKind::kFormat, "{}: reads value {} of the description, {} exist before it", reader, index,
           values_.size());
    }
    return values_[static_cast<std::size_t>(index)];
  }

  // Of the exits that read the value that was planned last.
  void add_stops() {
    for (const ExitSpec& exit : exits_) {
      if (exit.value == static_cast<int>(values_.size()) - 1)
        builder_.add_tap(stop_site(exit.layer), values_.back(), -1);
    }
  }

  ProgramBuilder::ProductRequest product(const LinearSpec& spec, int x) const {
    ProgramBuilder::ProductRequest request;
    request.linear = resolve_linear(model_, spec);
    request.x = x;
    return request;
  }

  void plan_embedding() {
    const EmbeddingSpec& spec = model_.description.embedding;
    int x = builder_.add_input(spec.word_width());
    if (spec.projects_words) {
      ProgramBuilder::ProductRequest request = product(spec.projection, x);
      request.residual = builder_.add_second_input(spec.table_width());
      x = builder_.add_product(std::move(request), -1);
    }
    if (spec.has_norm) x = builder_.add_norm(spec.norm, x, true, -1);
    if (spec.has_projection && !spec.projects_words)
      x = builder_.add_product(product(spec.projection, x), -1);
    builder_.add_tap("embeddings.out", x, -1);
    values_.push_back(x);
  }

  // `residual` is fused into the part's last product; the norms before and after go around it.
  void plan_block(const Block& block) {
    int x = value(block.input, block.name);
    const int residual = block.residual == kNoValue ? -1 : value(block.residual, block.name);
    if (const auto* norm = std::get_if<NormSpec>(&block.part)) {
      int y = builder_.add_norm(*norm, x, false, block.layer);
      if (residual >= 0) fail(ErrorKind::kUnsupported, "{}: a residual around a norm block", block.name);
      values_.push_back(y);
      return;
    }
    if (block.norm_place == NormPlace::kPre) x = builder_.add_norm(block.norm, x, false, block.layer);
    int y = -1;
    switch (block.kind()) {
      case BlockKind::kAttention:
        y = plan_attention(block, std::get<AttentionSpec>(block.part), x, residual);
        break;
      case BlockKind::kFeedForward:
        y = plan_feed_forward(std::get<FeedForwardSpec>(block.part), x, residual, block.layer);
        break;
      case BlockKind::kBottleneck: {
        const auto& spec = std::get<BottleneckSpec>(block.part);
        ProgramBuilder::ProductRequest request = product(spec.linear, x);
        request.activation = spec.activation;
        request.residual = residual;
        y = builder_.add_product(std::move(request), block.layer);
        break;
      }
      case BlockKind::kRecurrent:
        if (residual >= 0)
          fail(ErrorKind::kUnsupported, "{}: a residual around a recurrent block", block.name);
        y = plan_recurrent(std::get<RecurrentSpec>(block.part), x, block.layer);
        break;
      case BlockKind::kNorm:
        break;  // above
    }
    if (block.norm_place == NormPlace::kPost) y = builder_.add_norm(block.norm, y, true, block.layer);
    builder_.add_tap(block.name + ".out", y, block.layer);
    values_.push_back(y);
  }

  int plan_attention(const Block& block, const AttentionSpec& spec, int x, int residual) {
    if (spec.position.scheme == PositionScheme::kRotary) {
      fail(ErrorKind::kUnsupported, "{}: rotary positions", block.name);
    }
    const int qk = spec.query_key_input == kNoValue ? x : value(spec.query_key_input, block.name);
    std::vector<ProgramBuilder::ProductRequest> requests;
    requests.push_back(product(spec.query, qk));
    requests.push_back(product(spec.key, qk));
    requests.push_back(product(spec.value, x));
    const std::vector<int> qkv = builder_.add_products(std::move(requests), block.layer);
    const int context = builder_.add_attention(spec, qkv[0], qkv[1], qkv[2]);
    ProgramBuilder::ProductRequest request = product(spec.output, context);
    request.residual = residual;
    return builder_.add_product(std::move(request), block.layer);
  }

  int plan_feed_forward(const FeedForwardSpec& spec, int x, int residual, int layer) {
    ProgramBuilder::ProductRequest up = product(spec.up, x);
    if (!spec.gated) up.activation = spec.activation;
    int inner = builder_.add_product(std::move(up), layer);
    if (spec.gated) {
      ProgramBuilder::ProductRequest gate = product(spec.gate, x);
      gate.activation = spec.activation;
      gate.multiply = inner;
      inner = builder_.add_product(std::move(gate), layer);
    }
    ProgramBuilder::ProductRequest down = product(spec.down, inner);
    down.residual = residual;
    return builder_.add_product(std::move(down), layer);
  }

  int plan_recurrent(const RecurrentSpec& spec, int x, int layer) {
    std::vector<ProgramBuilder::ProductRequest> requests;
    requests.push_back(product(spec.forward_input, x));
    requests.push_back(product(spec.backward_input, x));
    const std::vector<int> inputs = builder_.add_products(std::move(requests), layer);
    return builder_.add_recurrent(spec, inputs[0], inputs[1]);
  }

  const Model& model_;
  ProgramBuilder builder_;
  std::vector<ExitSpec> exits_;
  std::vector<int> values_;  // slot of each value of the description
};

}  // namespace

Program plan_encoder(const Model& model, LinearPacker& packer) {
  return EncoderPlanner(model, packer).plan();
}

}  // namespace penjing
