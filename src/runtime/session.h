#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/aligned.h"
#include "base/function_ref.h"
#include "base/thread_pool.h"
#include "predict/predictor.h"
#include "runtime/early_exit.h"
#include "runtime/embedding_op.h"
#include "runtime/engine.h"
#include "runtime/executor.h"
#include "runtime/heads.h"

namespace penjing {

// What Engine::build makes of a model, and sessions share.
struct PackedModel {
  PackedModel(const Model& model, const EngineOptions& options);

  Description description;
  EmbeddingOp embedding;
  Program encoder;
  std::vector<Head> heads;
  std::vector<Head> exits;  // model/exits.h, where class logits are wanted
  std::vector<int64_t> exit_layers;
  bool is_sentence_model = false;
  std::size_t packed_bytes = 0;
  const std::byte* stored = nullptr;  // an address in the file that packed weights are read from

  const Head* find_head(OutputKind kind) const;
  // Throws kIo when a file that weights are read from has shrunk.
  void check_mapping() const;
};

// One forward at a time on its own scratch memory.
class Session : public Predictor {
 public:
  Session(std::shared_ptr<const PackedModel> model, std::shared_ptr<ThreadPool> pool,
          int64_t max_batch_tokens, StepObserver* observer = nullptr);

  bool supports(OutputKind kind) const override;
  int64_t vocab_size() const override { return model_->embedding.vocab_size(); }
  int64_t max_length() const override { return model_->embedding.max_length(); }
  Prediction predict(const RaggedBatch& batch, const Request& request) override;

  // Of all class logits from then on; kInput where the model has no such exit.
  void leave_early(EarlyExit exit);

 private:
  struct HeadRun {
    const Program* program;
    std::unique_ptr<Executor> executor;
  };
  void check_request(const RaggedBatch& batch, const Request& request) const;
  Executor& head_executor(const Program& program);
  void start_encoder(const TokenSpan& tokens);  // its input is there, no step has run
  void run_encoder(const TokenSpan& tokens, Tap* tap);
  // An encoder that does nothing but look rows up, and a head that takes their mean: then mean_rows stands
  // for run_encoder and pool_rows, with the same bits and without a vector a token.
  bool takes_means(const Head* head, const Request& request) const;
  // Runs body, and tells the observer how long it took.
  template <typename Body>
  void observe(StepEvent::Phase phase, const Program& program, int64_t num_rows, const TokenSpan* tokens,
               Body body);
  // Writes Head::scores of every token into token_scores_.
  void score_tokens(const Head& head, const TokenSpan& tokens, Tap* tap);
  // The rows of HeadInput::kEnds and kAttended.
  void read_texts(const Head& head, const TokenSpan& tokens, int64_t slice_begin, int64_t slice_rows,
                  float* target);
  void gather_rows(const float* source, const int64_t* tokens, int64_t num_rows, float* target);
  void write_rows(const Executor& executor, int64_t dim, float* rows);
  // Writes the rows of the sequences [first, last) of the batch, which are `tokens`.
  void run_head(const Head& head, const RaggedBatch& batch, const Request& request, int64_t first,
                const TokenSpan& tokens, float* rows);
  // A head on num_rows rows, some at a time: fill(begin, count, target) gives it its input. pooled: what the
  // observer is told that they are made of, or null.
  void run_slices(const Head& head, int64_t num_rows, const TokenSpan* pooled, Tap* tap, float* rows,
                  FunctionRef<void(int64_t begin, int64_t count, float* target)> fill);
  // Class logits of sequences that may leave early.
  void run_with_exits(const Head& head, const TokenSpan& tokens, float* rows);
  // Whether a row leaves at an exit that says this.
  bool leaves(std::size_t exit, std::span<const float> logits) const;
  // source: a panel of the encoder's width over all tokens; skipped: how many of a sequence's take no part.
  void pool_rows(const Head& head, const float* source, FunctionRef<int64_t(int64_t sequence)> skipped,
                 const TokenSpan& tokens, int64_t slice_begin, int64_t slice_rows, float* target);
  void mean_rows(const Head& head, const Request& request, int64_t first, const TokenSpan& tokens,
                 int64_t slice_begin, int64_t slice_rows, float* target);
  // Tokens at the start of a sequence of the batch that its pooling leaves out.
  static int64_t skipped_tokens(const Head& head, const Request& request, int64_t sequence);

  std::shared_ptr<const PackedModel> model_;
  std::shared_ptr<ThreadPool> pool_;
  StepObserver* observer_;
  int64_t max_batch_tokens_;
  Executor encoder_;
  std::optional<EarlyExit> exit_;
  AlignedBuffer<float> embedding_scratch_;
  std::vector<HeadRun> heads_;
  std::vector<int64_t> picked_;      // token indices of a head's rows
  std::vector<float> token_scores_;  // of an attentive head
};

}  // namespace penjing
