#pragma once

#include <optional>
#include <vector>

#include "model/exits.h"
#include "model/model.h"
#include "predict/predictor.h"
#include "runtime/program.h"

namespace penjing {

// What comes after the encoder for one output kind: rows of its output are picked or pooled into the input of
// a small program, which runs through the same executor as the encoder.
struct Head {
  enum class Rows { kFirstTokens, kTokens, kPooled, kEnds, kAttended };
  OutputKind kind = OutputKind::kEmbedding;
  Rows rows = Rows::kFirstTokens;
  PoolingSpec pooling;    // kPooled
  bool compares = false;  // kEnds, kAttended: of the two texts of a pair (HeadSpec::compares)
  // kAttended: from every token's row the number whose exponential is its weight.
  std::optional<Program> scores;
  int64_t score_slice_rows = 0;
  Program program;  // a program without steps: its input is its output
  // Rows that go through the program at once, so that its memory is bounded: 30,522 logits for each of 16,384
  // tokens would be 2 GB.
  int64_t slice_rows = 0;
};

// The head for `kind`, or nothing when the model has none. kHidden needs no head.
std::optional<Head> plan_head(const Model& model, OutputKind kind, LinearPacker& packer);
// Class logits at an exit.
Head plan_exit(const Model& model, const ExitSpec& exit, LinearPacker& packer);

}  // namespace penjing
