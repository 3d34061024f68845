#include "runtime/engine.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "runtime/plan.h"
#include "runtime/session.h"

namespace penjing {
namespace {

constexpr OutputKind kHeadKinds[] = {OutputKind::kEmbedding,    OutputKind::kPooled,
                                     OutputKind::kClassLogits,  OutputKind::kTokenLogits,
                                     OutputKind::kMaskedLogits, OutputKind::kSpanLogits};

void log_plan(const PackedModel& model) {
  if (!log_topic_enabled("plan")) return;
  log_info("plan: {} steps, {} slots in {} buffers, {} bytes a token, {} bytes of packed weights",
           model.encoder.steps.size(), model.encoder.slots.size(), model.encoder.buffer_bytes.size(),
           model.encoder.bytes_per_token(), model.packed_bytes);
}

class EngineImpl : public Engine {
 public:
  explicit EngineImpl(std::shared_ptr<const PackedModel> model) : model_(std::move(model)) {}

  std::unique_ptr<Predictor> new_session(std::shared_ptr<ThreadPool> pool, int64_t max_batch_tokens,
                                         StepObserver* observer) const override {
    return std::make_unique<Session>(model_, std::move(pool), max_batch_tokens, observer);
  }
  std::unique_ptr<Predictor> new_exiting_session(std::shared_ptr<ThreadPool> pool, EarlyExit exit,
                                                 int64_t max_batch_tokens) const {
    auto session = std::make_unique<Session>(model_, std::move(pool), max_batch_tokens);
    session->leave_early(std::move(exit));
    return session;
  }
  std::size_t packed_bytes() const override { return model_->packed_bytes; }
  TensorMap packed_tensors() const override {
    TensorMap tensors;
    const auto add = [&tensors](const Program& program) {
      for (const PackedLinear& linear : program.linears) add_packed_tensors(linear.matrix, tensors);
    };
    add(model_->encoder);
    for (const Head& head : model_->heads) {
      add(head.program);
      if (head.scores) add(*head.scores);
    }
    for (const Head& exit : model_->exits) add(exit.program);
    return tensors;
  }
  const Description& description() const override { return model_->description; }

  std::vector<ProductKind> product_kinds() const override {
    std::vector<ProductKind> kinds;
    double all = 0;
    for (const PackedLinear& linear : model_->encoder.linears) {
      const PackedMatrix& matrix = *linear.matrix;
      auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const ProductKind& known) {
        return known.arithmetic == matrix.arithmetic() && known.sparse == matrix.sparse();
      });
      if (kind == kinds.end()) kind = kinds.insert(kind, {matrix.arithmetic(), matrix.sparse(), 0, 0, 0});
      const auto size = static_cast<double>(linear.in * linear.out);
      kind->matrices += 1;
      kind->share += size;
      kind->zero_blocks += size * matrix.zero_blocks;
      all += size;
    }
    for (ProductKind& kind : kinds) {
      kind.zero_blocks /= kind.share;
      kind.share /= all;
    }
    std::sort(kinds.begin(), kinds.end(),
              [](const ProductKind& a, const ProductKind& b) { return a.share > b.share; });
    return kinds;
  }

  std::vector<ProductChoice> product_choices() const override {
    std::vector<ProductChoice> choices;
    std::set<const PackedMatrix*> seen;
    for (const PackedLinear& linear : model_->encoder.linears) {
      const PackedMatrix& matrix = *linear.matrix;
      if (!seen.insert(&matrix).second) continue;
      choices.push_back({matrix.name, matrix.kernel_name(), matrix.out, matrix.in, matrix.sparse(),
                         matrix.zero_blocks, matrix.worthwhile});
    }
    return choices;
  }

 private:
  std::shared_ptr<const PackedModel> model_;
};

}  // namespace

PackedModel::PackedModel(const Model& model, const EngineOptions& options)
    : description(model.description), embedding(model), is_sentence_model(!model.sentence.modules.empty()) {
  LinearPacker packer(options.stored);
  encoder = plan_encoder(model, packer);
  for (const OutputKind kind : kHeadKinds) {
    bool pack = options.heads.empty();
    for (const OutputKind one : options.heads) pack = pack || one == kind;
    if (!pack) continue;
    if (std::optional<Head> head = plan_head(model, kind, packer)) heads.push_back(std::move(*head));
    if (kind != OutputKind::kClassLogits) continue;
    for (const ExitSpec& exit : read_exits(model)) {
      exits.push_back(plan_exit(model, exit, packer));
      exit_layers.push_back(exit.layer);
    }
  }
  if (options.stored != nullptr && options.stored->begin() != options.stored->end())
    stored = options.stored->begin()->tensor.bytes.data();
  packed_bytes = packer.packed_bytes() + embedding.bytes();
  check_mapping();
}

void PackedModel::check_mapping() const {
  MappedFile::check_address(embedding.word().bytes.data());
  if (stored != nullptr) MappedFile::check_address(stored);
}

const Head* PackedModel::find_head(OutputKind kind) const {
  for (const Head& head : heads) {
    if (head.kind == kind) return &head;
  }
  return nullptr;
}

std::unique_ptr<Predictor> new_exiting_session(const Engine& engine, std::shared_ptr<ThreadPool> pool,
                                               EarlyExit exit, int64_t max_batch_tokens) {
  return dynamic_cast<const EngineImpl&>(engine).new_exiting_session(std::move(pool), std::move(exit),
                                                                     max_batch_tokens);
}

std::shared_ptr<const Engine> Engine::build(const Model& model, const EngineOptions& options) {
  auto packed = std::make_shared<PackedModel>(model, options);
  log_plan(*packed);
  return std::make_shared<EngineImpl>(std::move(packed));
}

}  // namespace penjing
