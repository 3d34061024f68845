#include "runtime/session.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/mapped_file.h"
#include "runtime/attentive_pooling.h"
#include "runtime/panel_rows.h"
#include "runtime/plan.h"
#include "runtime/pooling.h"
#include "runtime/recurrent_op.h"

namespace penjing {
namespace {

bool is_row_a_token(OutputKind kind) {
  return kind == OutputKind::kHidden || kind == OutputKind::kTokenLogits ||
         kind == OutputKind::kMaskedLogits || kind == OutputKind::kSpanLogits;
}

// Rows of each sequence, as offsets.
std::vector<int64_t> row_offsets(const RaggedBatch& batch, const Request& request) {
  if (is_row_a_token(request.kind) && request.positions.empty()) return batch.offsets;
  std::vector<int64_t> offsets(batch.offsets.size());
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = static_cast<int64_t>(i);
    if (!request.positions.empty()) {
      offsets[i] = std::lower_bound(request.positions.begin(), request.positions.end(), batch.offsets[i]) -
                   request.positions.begin();
    }
  }
  return offsets;
}

// Infinities and NaNs are the numbers whose exponent bits are all ones; no early exit, so that the loop is a
// vector one.
bool all_finite(std::span<const float> row) {
  constexpr uint32_t kExponent = 0x7f800000;
  bool finite = true;
  for (const float value : row) finite &= (std::bit_cast<uint32_t>(value) & kExponent) != kExponent;
  return finite;
}

void check_finite(const Prediction& prediction) {
  for (int64_t i = 0; i < prediction.num_rows; ++i) {
    if (all_finite(prediction.row(i))) continue;
    fail(ErrorKind::kFormat,
         "{}: row {} of the result is not finite: the model's weights are damaged or overflow on this input",
         to_string(prediction.kind), i);
  }
}

}  // namespace

Session::Session(std::shared_ptr<const PackedModel> model, std::shared_ptr<ThreadPool> pool,
                 int64_t max_batch_tokens, StepObserver* observer)
    : model_(std::move(model)),
      pool_(std::move(pool)),
      observer_(observer),
      max_batch_tokens_(max_batch_tokens),
      encoder_(model_->encoder, *pool_, StepEvent::Phase::kEncoder, observer) {
  if (max_batch_tokens_ < 1) {
    fail(ErrorKind::kInput, "max_batch_tokens: {}, wanted 1 or more", max_batch_tokens_);
  }
  embedding_scratch_ = AlignedBuffer<float>(
      static_cast<std::size_t>(model_->embedding.scratch_floats() * pool_->num_threads()));
}

bool Session::supports(OutputKind kind) const {
  return kind == OutputKind::kHidden || model_->find_head(kind) != nullptr;
}

void Session::check_request(const RaggedBatch& batch, const Request& request) const {
  if (!supports(request.kind)) {
    if (request.kind == OutputKind::kEmbedding && !model_->is_sentence_model) {
      fail(ErrorKind::kInput,
           "the model says nothing about pooling (no modules.json): choose one (cls, mean, max, ...)");
    }
    fail(ErrorKind::kInput, "the model has no head for: {}", to_string(request.kind));
  }
  const auto num_ids = static_cast<int64_t>(batch.ids.size());
  if (batch.offsets.empty() || batch.offsets.front() != 0 || batch.offsets.back() != num_ids) {
    fail(ErrorKind::kInput, "batch: offsets do not span the {} ids", num_ids);
  }
  if (!batch.type_ids.empty() && batch.type_ids.size() != batch.ids.size()) {
    fail(ErrorKind::kInput, "batch: {} token types for {} ids", batch.type_ids.size(), num_ids);
  }
  const int64_t longest = max_length();
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    const int64_t begin = batch.offsets[static_cast<std::size_t>(i)];
    const int64_t end = batch.offsets[static_cast<std::size_t>(i) + 1];
    if (begin < 0 || end > num_ids || end <= begin) {
      fail(ErrorKind::kInput, "sequence {}: {} tokens, wanted 1 to {}", i, end - begin, longest);
    }
    if (end - begin > longest) {
      fail(ErrorKind::kInput, "sequence {}: {} tokens, the model takes at most {}", i, end - begin, longest);
    }
    for (int64_t token = begin; token < end; ++token) {
      const int32_t id = batch.ids[static_cast<std::size_t>(token)];
      if (id < 0 || id >= vocab_size()) {
        fail(ErrorKind::kInput, "sequence {}: token id {} at {}, wanted 0 to {}", i, id, token - begin,
             vocab_size() - 1);
      }
    }
  }
  if (const int64_t types = model_->embedding.num_types(); types > 0) {
    for (std::size_t token = 0; token < batch.type_ids.size(); ++token) {
      if (batch.type_ids[token] < 0 || batch.type_ids[token] >= types) {
        fail(ErrorKind::kInput, "token {}: token type {}, wanted 0 to {}", token, batch.type_ids[token],
             types - 1);
      }
    }
  }
  if (!request.positions.empty() && request.kind != OutputKind::kMaskedLogits) {
    fail(ErrorKind::kInput, "positions are for masked-word logits, not for: {}", to_string(request.kind));
  }
  int64_t previous = -1;
  for (const int64_t position : request.positions) {
    if (position <= previous || position >= num_ids) {
      fail(ErrorKind::kInput, "position {} after {}, wanted ascending below {}", position, previous, num_ids);
    }
    previous = position;
  }
  if (!request.prompt_lengths.empty() &&
      static_cast<int64_t>(request.prompt_lengths.size()) != batch.num_sequences()) {
    fail(ErrorKind::kInput, "{} prompt lengths for {} sequences", request.prompt_lengths.size(),
         batch.num_sequences());
  }
}

void Session::leave_early(EarlyExit exit) {
  std::string layers;
  for (const int64_t layer : model_->exit_layers)
    layers += fmt::format("{}{}", layers.empty() ? "" : ", ", layer);
  if (layers.empty()) fail(ErrorKind::kInput, "the model has no exits (penjing byot trains them)");
  const auto& all = model_->exit_layers;
  if (exit.layer != 0 && std::find(all.begin(), all.end(), exit.layer) == all.end())
    fail(ErrorKind::kInput, "exit {}: the model's exits lie behind layer {}", exit.layer, layers);
  if (!(exit.entropy >= 0 && exit.entropy <= 1)) {
    fail(ErrorKind::kInput, "exit entropy {}: wanted 0 to 1, the share of the largest possible",
         exit.entropy);
  }
  exit_ = std::move(exit);
}

bool Session::leaves(std::size_t exit, std::span<const float> logits) const {
  if (exit_->layer > 0) return exit_->layer == model_->exit_layers[exit];
  return relative_entropy(logits) < static_cast<float>(exit_->entropy);
}

Executor& Session::head_executor(const Program& program) {
  for (HeadRun& run : heads_) {
    if (run.program == &program) return *run.executor;
  }
  heads_.push_back(
      {&program, std::make_unique<Executor>(program, *pool_, StepEvent::Phase::kHead, observer_)});
  return *heads_.back().executor;
}

template <typename Body>
void Session::observe(StepEvent::Phase phase, const Program& program, int64_t num_rows,
                      const TokenSpan* tokens, Body body) {
  if (observer_ == nullptr) return body();
  StepPiece piece;
  piece.begin = StepEvent::Clock::now();
  body();
  piece.end = StepEvent::Clock::now();
  observer_->on_step({phase, &program, -1, num_rows, tokens, piece.end - piece.begin, {&piece, 1}});
}

void Session::start_encoder(const TokenSpan& tokens) {
  encoder_.reserve(tokens.num_tokens());
  observe(StepEvent::Phase::kEmbedding, model_->encoder, tokens.num_tokens(), &tokens, [&] {
    model_->embedding.run(tokens, *pool_, encoder_.input(), encoder_.second_input(),
                          embedding_scratch_.data());
  });
}

void Session::run_encoder(const TokenSpan& tokens, Tap* tap) {
  start_encoder(tokens);
  encoder_.run(&tokens, tap);
}

bool Session::takes_means(const Head* head, const Request& request) const {
  return head != nullptr && head->rows == Head::Rows::kPooled && request.tap == nullptr &&
         head->pooling.modes.size() == 1 && head->pooling.modes[0] == PoolingMode::kMean &&
         model_->encoder.output == model_->encoder.input && model_->embedding.is_one_table();
}

int64_t Session::skipped_tokens(const Head& head, const Request& request, int64_t sequence) {
  if (head.pooling.include_prompt || request.prompt_lengths.empty()) return 0;
  return request.prompt_lengths[static_cast<std::size_t>(sequence)];
}

void Session::mean_rows(const Head& head, const Request& request, int64_t first, const TokenSpan& tokens,
                        int64_t slice_begin, int64_t slice_rows, float* target) {
  const PanelShape shape{slice_rows};
  const EmbeddingOp& embedding = model_->embedding;
  const int64_t width = embedding.width();
  pool_->parallel_for(shape.padded_tokens() / kLaneTokens, [&](int64_t group, int thread) {
    const int64_t begin = group * kLaneTokens, end = std::min(begin + kLaneTokens, slice_rows);
    float* rows = embedding_scratch_.data() + thread * embedding.scratch_floats();
    for (int64_t row = begin; row < end; ++row) {
      const int64_t sequence = slice_begin + row, length = tokens.length(sequence);
      const int64_t skip = std::clamp<int64_t>(skipped_tokens(head, request, first + sequence), 0, length);
      embedding.mean_rows(tokens.ids + tokens.begin(sequence) + skip, length - skip,
                          rows + (row - begin) * width);
    }
    std::fill(rows + (end - begin) * width, rows + kLaneTokens * width, 0.0f);
    rows_to_lanes(rows, width, width, target + token_offset(begin, width), shape.width(begin / kPanelTokens));
  });
}

void Session::pool_rows(const Head& head, const float* source, FunctionRef<int64_t(int64_t sequence)> skipped,
                        const TokenSpan& tokens, int64_t slice_begin, int64_t slice_rows, float* target) {
  const PanelShape shape{slice_rows};
  const int64_t features = model_->encoder.output_features();
  const int64_t pooled = head.program.input_features();
  pool_->parallel_for(slice_rows, [&](int64_t row, int) {
    const int64_t sequence = slice_begin + row;
    pool_sequence(head.pooling, source, encoder_.shape(), features, tokens.begin(sequence),
                  tokens.length(sequence), skipped(sequence), target + token_offset(row, pooled),
                  shape.width(row / kPanelTokens));
  });
  clear_surplus_lanes(target, shape, pooled);
}

void Session::score_tokens(const Head& head, const TokenSpan& tokens, Tap* tap) {
  Executor& executor = head_executor(*head.scores);
  token_scores_.resize(static_cast<std::size_t>(tokens.num_tokens()));
  for (int64_t done = 0; done < tokens.num_tokens(); done += head.score_slice_rows) {
    const int64_t slice = std::min(head.score_slice_rows, tokens.num_tokens() - done);
    picked_.resize(static_cast<std::size_t>(slice));
    std::iota(picked_.begin(), picked_.end(), done);
    executor.reserve(slice);
    observe(StepEvent::Phase::kHeadInput, *head.scores, slice, nullptr,
            [&] { gather_rows(encoder_.output(), picked_.data(), slice, executor.input()); });
    executor.run(nullptr, tap);
    write_rows(executor, 1, token_scores_.data() + done);
  }
}

void Session::read_texts(const Head& head, const TokenSpan& tokens, int64_t slice_begin, int64_t slice_rows,
                         float* target) {
  const PanelShape shape{slice_rows};
  const int64_t features = model_->encoder.output_features(), half = features / 2;
  const int64_t width = head.program.input_features();
  pool_->parallel_for(slice_rows, [&](int64_t row, int) {
    const int64_t sequence = slice_begin + row, begin = tokens.begin(sequence);
    const TokenRun first = find_run(tokens, sequence, begin, head.compares);
    const int64_t after = begin + first.length;
    const bool has_second = after < begin + tokens.length(sequence);
    const auto read = [&](const TokenRun& run, float* into) {
      if (head.rows == Head::Rows::kAttended) {
        pool_attended(encoder_.output(), encoder_.shape(), features, run, token_scores_.data() + run.begin,
                      into);
        return;
      }
      for (int64_t f = 0; f < features; ++f) {
        const int64_t token = run.begin + (f < half ? run.length - 1 : 0);
        into[f] =
            encoder_
                .output()[token_offset(token, features) + f * encoder_.shape().width(token / kPanelTokens)];
      }
    };
    std::vector<float> values(static_cast<std::size_t>(width), 0.0f);
    float *h1 = values.data(), *h2 = h1 + features;
    read(first, h1);
    if (head.compares) {
      if (has_second) read(find_run(tokens, sequence, after, true), h2);
      for (int64_t f = 0; f < features; ++f) {
        h1[2 * features + f] = std::abs(h1[f] - h2[f]);
        h1[3 * features + f] = h1[f] * h2[f];
      }
    }
    float* to = target + token_offset(row, width);
    const int64_t stride = shape.width(row / kPanelTokens);
    for (int64_t f = 0; f < width; ++f) to[f * stride] = values[static_cast<std::size_t>(f)];
  });
  clear_surplus_lanes(target, shape, width);
}

void Session::gather_rows(const float* source, const int64_t* tokens, int64_t num_rows, float* target) {
  const PanelShape shape{num_rows};
  const int64_t features = model_->encoder.output_features();
  pool_->parallel_for(shape.num_panels(), [&](int64_t panel, int) {
    const int64_t begin = panel * kPanelTokens;
    gather_tokens(source, encoder_.shape(), features, tokens + begin,
                  std::min<int64_t>(kPanelTokens, num_rows - begin), target + begin * features);
  });
}

void Session::write_rows(const Executor& executor, int64_t dim, float* rows) {
  const PanelShape shape = executor.shape();
  pool_->parallel_for(shape.num_panels(), [&](int64_t panel, int) {
    const int64_t begin = panel * kPanelTokens;
    panels_to_rows(executor.output(), shape, dim, begin, std::min(begin + kPanelTokens, shape.num_tokens),
                   rows + begin * dim);
  });
}

void Session::run_head(const Head& head, const RaggedBatch& batch, const Request& request, int64_t first,
                       const TokenSpan& tokens, float* rows) {
  if (head.scores) score_tokens(head, tokens, request.tap);
  picked_.clear();
  int64_t num_rows = tokens.num_sequences;
  const int64_t begin = batch.offsets[static_cast<std::size_t>(first)];
  if (head.rows == Head::Rows::kFirstTokens) {
    for (int64_t i = 0; i < tokens.num_sequences; ++i) picked_.push_back(tokens.begin(i));
  } else if (head.rows == Head::Rows::kTokens) {
    if (request.positions.empty()) {
      for (int64_t i = 0; i < tokens.num_tokens(); ++i) picked_.push_back(i);
    } else {
      for (const int64_t position : request.positions) {
        if (position >= begin && position < begin + tokens.num_tokens()) picked_.push_back(position - begin);
      }
    }
    num_rows = static_cast<int64_t>(picked_.size());
  }
  const bool pooled = head.rows == Head::Rows::kPooled;
  run_slices(head, num_rows, pooled ? &tokens : nullptr, request.tap, rows,
             [&](int64_t done, int64_t slice, float* target) {
               if (takes_means(&head, request)) {
                 mean_rows(head, request, first, tokens, done, slice, target);
               } else if (pooled) {
                 pool_rows(
                     head, encoder_.output(),
                     [&](int64_t sequence) { return skipped_tokens(head, request, first + sequence); },
                     tokens, done, slice, target);
               } else if (head.rows == Head::Rows::kEnds || head.rows == Head::Rows::kAttended) {
                 read_texts(head, tokens, done, slice, target);
               } else {
                 gather_rows(encoder_.output(), picked_.data() + done, slice, target);
               }
             });
}

void Session::run_slices(const Head& head, int64_t num_rows, const TokenSpan* pooled, Tap* tap, float* rows,
                         FunctionRef<void(int64_t begin, int64_t count, float* target)> fill) {
  Executor& executor = head_executor(head.program);
  const int64_t dim = head.program.output_features();
  for (int64_t done = 0; done < num_rows; done += head.slice_rows) {
    const int64_t slice = std::min(head.slice_rows, num_rows - done);
    executor.reserve(slice);
    observe(StepEvent::Phase::kHeadInput, head.program, slice, pooled,
            [&] { fill(done, slice, executor.input()); });
    executor.run(nullptr, tap);
    observe(StepEvent::Phase::kOutputRows, head.program, slice, nullptr,
            [&] { write_rows(executor, dim, rows + done * dim); });
  }
}

void Session::run_with_exits(const Head& head, const TokenSpan& tokens, float* rows) {
  const std::vector<int64_t>& exits = model_->exit_layers;
  const int64_t dim = head.program.output_features();
  std::vector<int64_t> there, offsets;  // sequences that are left, by their numbers, and their tokens
  for (int64_t i = 0; i < tokens.num_sequences; ++i) there.push_back(i);
  TokenSpan left = tokens;
  std::vector<float> said;
  const auto ask = [&](const Head& asked, const float* source) {
    const bool pooled = asked.rows == Head::Rows::kPooled;
    picked_.clear();
    for (int64_t i = 0; !pooled && i < left.num_sequences; ++i) picked_.push_back(left.begin(i));
    said.resize(there.size() * static_cast<std::size_t>(dim));
    run_slices(asked, left.num_sequences, pooled ? &left : nullptr, nullptr, said.data(),
               [&](int64_t done, int64_t slice, float* target) {
                 if (pooled) {
                   pool_rows(
                       asked, source, [](int64_t) { return int64_t{0}; }, left, done, slice, target);
                 } else {
                   gather_rows(source, picked_.data() + done, slice, target);
                 }
               });
  };
  const auto settle = [&](std::size_t i, int64_t after) {
    std::copy_n(said.data() + static_cast<int64_t>(i) * dim, dim, rows + there[i] * dim);
    if (exit_->on_row) exit_->on_row(left.length(static_cast<int64_t>(i)), after);
  };
  start_encoder(tokens);
  for (std::size_t e = 0; e < exits.size() && !there.empty(); ++e) {
    if (exit_->layer > 0 && exit_->layer != exits[e]) continue;
    encoder_.run_to(e, left);
    ask(model_->exits[e], encoder_.at_stop(e));
    std::vector<int64_t> staying, kept_offsets = {0}, kept_tokens;
    for (std::size_t i = 0; i < there.size(); ++i) {
      const std::span<const float> row(said.data() + static_cast<int64_t>(i) * dim,
                                       static_cast<std::size_t>(dim));
      if (leaves(e, row)) {
        settle(i, exits[e]);
        continue;
      }
      staying.push_back(there[i]);
      const int64_t begin = left.begin(static_cast<int64_t>(i));
      const int64_t length = left.length(static_cast<int64_t>(i));
      for (int64_t token = begin; token < begin + length; ++token) kept_tokens.push_back(token);
      kept_offsets.push_back(kept_offsets.back() + length);
    }
    if (staying.size() == there.size()) continue;
    there = std::move(staying);
    offsets = std::move(kept_offsets);
    left = {nullptr, nullptr, offsets.data(), static_cast<int64_t>(there.size())};
    if (!there.empty()) encoder_.keep(e, kept_tokens);
  }
  if (there.empty()) return;
  encoder_.run_to(exits.size(), left);
  ask(head, encoder_.output());
  for (std::size_t i = 0; i < there.size(); ++i) settle(i, model_->description.num_layers);
}

Prediction Session::predict(const RaggedBatch& batch, const Request& request) {
  check_request(batch, request);
  const Head* head = request.kind == OutputKind::kHidden ? nullptr : model_->find_head(request.kind);
  Prediction prediction;
  prediction.kind = request.kind;
  prediction.dim = head != nullptr ? head->program.output_features() : model_->encoder.output_features();
  prediction.row_offsets = row_offsets(batch, request);
  prediction.num_rows = prediction.row_offsets.back();
  prediction.values.resize(static_cast<std::size_t>(prediction.num_rows * prediction.dim));

  const bool exits = exit_ && request.kind == OutputKind::kClassLogits;
  if (exits && request.tap != nullptr)
    fail(ErrorKind::kInput, "a tap sees no forward whose rows leave early");
  const int64_t num_sequences = batch.num_sequences();
  for (int64_t first = 0; first < num_sequences;) {
    // As many whole sequences as the limit takes, at least one.
    const int64_t* offsets = batch.offsets.data() + first;
    TokenSpan tokens{batch.ids.data() + offsets[0],
                     batch.type_ids.empty() ? nullptr : batch.type_ids.data() + offsets[0], offsets, 1};
    while (first + tokens.num_sequences < num_sequences &&
           offsets[tokens.num_sequences + 1] - offsets[0] <= max_batch_tokens_) {
      ++tokens.num_sequences;
    }
    if (!exits && !takes_means(head, request)) run_encoder(tokens, request.tap);
    float* rows =
        prediction.values.data() + prediction.row_offsets[static_cast<std::size_t>(first)] * prediction.dim;
    if (exits) {
      run_with_exits(*head, tokens, rows);
    } else if (head != nullptr) {
      run_head(*head, batch, request, first, tokens, rows);
    } else {
      observe(StepEvent::Phase::kOutputRows, model_->encoder, tokens.num_tokens(), nullptr,
              [&] { write_rows(encoder_, prediction.dim, rows); });
    }
    first += tokens.num_sequences;
  }
  model_->check_mapping();
  check_finite(prediction);
  return prediction;
}

}  // namespace penjing
