#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/panel.h"
#include "model/model.h"
#include "runtime/linear_packer.h"
#include "runtime/norm_op.h"

namespace penjing {

// What a session executes: a straight list of steps over slots, with the weights that they read. The encoder
// is one program, each head another. A slot is a matrix of token panels (kernels/panel.h); slots that are
// never alive together share a buffer, so the memory of a forward is the widest moment of the model, not its
// sum.
//
// All steps but attention and recurrence work on each panel by itself. So the steps between two of those are
// a segment, which a thread runs on a panel from its first step to its last while the panel's data stay in
// the thread's second cache, without waiting for other threads. A slot that lives inside one segment is
// local: it needs the room of one panel a thread, however many tokens there are.

struct Slot {
  int64_t features = 0;
  InputFormat format = InputFormat::kFloat;
  int buffer = -1;
  bool local = false;

  // Of codes or pairs alone; codes are followed by a scale and a zero point for each token.
  int64_t data_bytes_per_token() const {
    if (format == InputFormat::kFloat) return features * 4;
    return format == InputFormat::kPairs ? (features + 1) / 2 * 4 : (features + 3) / 4 * 4;
  }
  int64_t bytes_per_token() const {
    const bool codes = format == InputFormat::kQuads || format == InputFormat::kRows;
    return data_bytes_per_token() + (codes ? 8 : 0);
  }
};

struct ConvertStep {
  int x = 0, converted = 0;
  std::shared_ptr<const InputConverter> converter;
};

// y = act(x W^T + b) [* multiply] [+ residual]: the product reads `converted` where it is not -1.
struct Product {
  int linear = 0;
  int x = 0, converted = -1, y = 0;
  int residual = -1, multiply = -1;
  Activation activation = Activation::kNone;
};
struct ProductStep {
  std::vector<Product> products;  // independent of each other: Q, K and V run as one
};
struct AttentionStep {
  int q = 0, k = 0, v = 0, y = 0;
  int64_t num_heads = 0, head_dim = 0, window = 0;
  float scale = 0;
  bool integer = false;
  int bias = -1;  // of Program::biases
};
// A bidirectional LSTM whose products with the inputs are in x_forward and x_backward
// (runtime/recurrent_op.h).
struct RecurrentStep {
  int x_forward = 0, x_backward = 0, y = 0;
  int forward = 0, backward = 0;  // linears of the states
  int64_t size = 0;
  bool restarts = false;
};
struct NormStep {
  int norm = 0, x = 0, y = 0;
};
struct NormalizeStep {  // to length 1, Sentence-Transformers' Normalize
  int x = 0, y = 0;
};
// Gives the rows of slot x to a tap that wants the site. With `product`, the rows are instead those of the
// bare product, without the activation and the residual that the real step fuses: computed a second time, for
// the tap alone.
struct TapStep {
  int site = 0, x = 0;
  bool is_product = false;
  Product product;
};
using Step =
    std::variant<ConvertStep, ProductStep, AttentionStep, RecurrentStep, NormStep, NormalizeStep, TapStep>;

struct Site {
  std::string name;  // "encoder.layer.0.attention.self.query.in"
  int layer = -1;    // -1 outside the layers
};

// Steps [begin, end): one that mixes tokens (attention, recurrence), or steps of which none does.
struct Segment {
  int begin = 0, end = 0;
  bool mixes = false;
};

// What relative positions add to the scores, by head and distance, which layers share.
struct RelativeBias {
  PositionSpec position;
  int64_t num_heads = 0;
  int64_t reach = 0;          // the largest distance
  std::vector<float> values;  // [num_heads][stride()]: query - key from -reach to reach + kLaneTokens - 1

  int64_t stride() const { return 2 * reach + kLaneTokens; }
};

struct Program {
  std::vector<PackedLinear> linears;
  std::vector<PackedNorm> norms;
  std::vector<RelativeBias> biases;
  std::vector<Slot> slots;
  std::vector<int64_t> buffer_bytes;  // bytes a token of each buffer
  std::vector<char> buffer_local;     // holds local slots alone
  std::vector<Step> steps;
  std::vector<Segment> segments;
  std::vector<Site> sites;
  int input = -1, output = -1;
  int second_input = -1;  // rows that are added behind the first product; -1: none
  int64_t max_head_dim = 0;
  bool adds_to_scores = false;  // an attention has a window or a bias

  int64_t input_features() const { return slots[static_cast<std::size_t>(input)].features; }
  int64_t output_features() const { return slots[static_cast<std::size_t>(output)].features; }
  int64_t bytes_per_token() const;  // of the buffers that are not local
};

// Slots that a step reads and writes.
struct SlotUse {
  std::vector<int> reads, writes;
};
SlotUse slots_of(const Step& step);

// Cuts the steps into segments, marks local slots and gives every slot a buffer: linear scan over the steps,
// a slot alive from its first write to its last read (inputs: from the start; output: to the end), and to the
// end of that segment if it is not local: other panels are at other steps. A written slot never shares a
// buffer with what the same step reads, and a local slot none with one that is not.
void assign_buffers(Program& program);

// Appends steps and resolves, packs and checks their weights.
class ProgramBuilder {
 public:
  ProgramBuilder(const Model& model, LinearPacker& packer) : model_(model), packer_(packer) {}

  struct ProductRequest {
    Linear linear;
    int x = 0;
    int residual = -1, multiply = -1;
    Activation activation = Activation::kNone;
  };

  int add_input(int64_t features);
  int add_second_input(int64_t features);
  // Independent products; returns their slots.
  std::vector<int> add_products(std::vector<ProductRequest> requests, int layer);
  int add_product(ProductRequest request, int layer);
  int add_norm(const NormSpec& spec, int x, bool in_place, int layer);
  int add_normalize(int x);
  int add_attention(const AttentionSpec& spec, int q, int k, int v);
  // x_forward, x_backward: what the spec's inputs gave.
  int add_recurrent(const RecurrentSpec& spec, int x_forward, int x_backward);
  void add_tap(const std::string& site, int x, int layer);
  int64_t features(int slot) const { return program_.slots[static_cast<std::size_t>(slot)].features; }
  const Model& model() const { return model_; }

  Program finish(int output);

 private:
  int add_slot(int64_t features, InputFormat format = InputFormat::kFloat);
  int find_bias(const AttentionSpec& spec);
  int pack_floats(const LinearSpec& spec);
  bool made_by_integers(std::initializer_list<int> slots) const;
  // Converts a slot once, however many products read it.
  int find_converted(int x, const std::shared_ptr<const InputConverter>& converter);

  const Model& model_;
  LinearPacker& packer_;
  Program program_;
  struct Converted {
    int x, slot;
    std::shared_ptr<const InputConverter> converter;
  };
  std::vector<Converted> converted_;
};

}  // namespace penjing
