#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace penjing {

// The architecture as data: an embedding, then an ordered list of blocks from a closed set, each with its own
// widths. The runtime's planner, the trainer's builder, the cost model, the checks and `inspect` walk this
// one list. A new family is a function config.json -> Description (src/model/architectures/<family>.cc) and
// needs no new concept.
//
// Values: value 0 is the embedding's output, block i produces value i+1. A block reads `input` and adds
// `residual` (kNoValue: adds nothing). A part that is absent (width 0) has no block.
//   post-norm:  y = norm(f(x) + residual)      pre-norm:  y = f(norm(x)) + residual      none: f(x) +
//   residual

inline constexpr int kNoValue = -1;

// 1 / sqrt(head_dim), rounded once an operation: the same bits wherever it is used.
inline float attention_scale(int64_t head_dim) {
  return 1.0f / std::sqrt(static_cast<float>(head_dim));
}

enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };
enum class NormKind { kLayerNorm, kRmsNorm, kAffine /* MobileBERT's NoNorm: x * weight + bias */ };
enum class NormPlace { kNone, kPre, kPost };
enum class PositionScheme {
  kNone,
  kLearned,
  kLearnedOffset /* RoBERTa: first is pad_token_id + 1 */,
  kRelativeBuckets /* MPNet, T5 */,
  kRotary
};
enum class BlockKind { kAttention, kFeedForward, kBottleneck, kNorm, kRecurrent };

// y = x W^T + b. `name` is the module's name in the checkpoint, in canonical form (without a "bert." prefix):
// "encoder.layer.0.attention.self.query"; its tensors are name + ".weight" etc. (model/linear.h).
struct LinearSpec {
  std::string name;
  int64_t in = 0, out = 0;
  bool bias = true;
};

struct NormSpec {
  std::string name;  // "embeddings.LayerNorm"
  NormKind kind = NormKind::kLayerNorm;
  int64_t width = 0;
  float epsilon = 1e-12f;
  bool bias = true;
};

struct PositionSpec {
  PositionScheme scheme = PositionScheme::kLearned;
  std::string name;    // table: "embeddings.position_embeddings", or the bias table of relative buckets
  int64_t count = 0;   // rows of the table, or the largest length
  int64_t offset = 0;  // first position's row
  int64_t num_buckets = 0, max_distance = 0;  // relative buckets
  double rotary_base = 0;
};

struct EmbeddingSpec {
  std::string word;  // "embeddings.word_embeddings"
  int64_t vocab_size = 0, width = 0;
  std::string token_type;  // empty: none
  int64_t type_vocab_size = 0;
  PositionSpec position;
  bool has_norm = true;
  NormSpec norm;
  bool has_projection = false;  // ELECTRA, ALBERT, MobileBERT: embedding width -> hidden size
  LinearSpec projection;
  // MobileBERT: the projection is of the word rows alone; positions, token types and the norm come after it,
  // as wide as its output.
  bool projects_words = false;
  // MobileBERT: the projection reads the word rows of the next token, of the token and of the one before, in
  // this order; zeros beyond the ends of the sequence.
  bool trigram = false;
  int64_t word_width() const { return trigram ? 3 * width : width; }               // of a token
  int64_t table_width() const { return projects_words ? projection.out : width; }  // positions, types
  int64_t out() const { return has_projection ? projection.out : width; }
};

struct AttentionSpec {
  LinearSpec query, key, value, output;  // query.out = num_heads * head_dim
  int64_t num_heads = 0, head_dim = 0;
  int query_key_input = kNoValue;  // where Q and K read when not from the block's input (MobileBERT)
  int64_t window = 0;              // 0 = global, else tokens to each side
  float scale = 0;                 // 1 / sqrt(head_dim)
  bool integer = false;  // 8-bit scores and context (kernels/attention_i8) where Q, K, V are integer
  PositionSpec position{
      PositionScheme::kNone, "", 0, 0, 0, 0, 0};  // relative bias or rotary inside attention
};

struct FeedForwardSpec {
  LinearSpec up, down;
  Activation activation = Activation::kGelu;
  bool gated = false;
  LinearSpec gate;  // y = down(act(gate(x)) * up(x))
};

struct BottleneckSpec {
  LinearSpec linear;
  Activation activation = Activation::kNone;
};

// A bidirectional LSTM (Hochreiter and Schmidhuber 1997, with Gers' forget gate; PyTorch's nn.LSTM). Of each
// direction, from zeros, h and c of `size` features:
//   (i, f, g, o) = input(x_t) + hidden(h_{t-1})        4 * size features, in this order as in PyTorch
//   c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)      h_t = sigmoid(o) tanh(c_t)
// y_t = (forward h_t, backward h_t), 2 * size features. The bias of `input` is PyTorch's bias_ih + bias_hh;
// `hidden` has none.
struct RecurrentSpec {
  LinearSpec forward_input, forward_hidden, backward_input, backward_hidden;
  int64_t size = 0;
  bool restarts = false;  // from zeros wherever the token type changes: the texts of a pair by themselves
};

struct Block {
  std::string name;  // "encoder.layer.0.attention"
  int layer = 0;     // which layer of the family it belongs to, for reports
  int input = 0, residual = kNoValue;
  NormPlace norm_place = NormPlace::kPost;
  NormSpec norm;  // where norm_place is not kNone; the norm of a kNorm block is its part
  std::variant<AttentionSpec, FeedForwardSpec, BottleneckSpec, NormSpec, RecurrentSpec> part;
  bool has_dropout = true;  // of f(x), in training

  BlockKind kind() const { return static_cast<BlockKind>(part.index()); }
};

enum class HeadKind { kPooler, kSequenceClassifier, kTokenClassifier, kMaskedLm, kQuestionAnswering };

// What a head of whole sequences reads of the encoder's output.
enum class HeadInput {
  kFirstToken,
  kEnds,  // of a bidirectional recurrent block the last states: forward at the last token, backward at the
          // first
  // Self-attentive pooling (Lin et al. 2017, equations 5 and 6, with one hop and a bias):
  //   s_t = attention_score(tanh(attention(h_t)))     a = softmax over the text's tokens of s
  //   the sum of a_t h_t
  kAttended,
};

// A head is a short chain on the encoder's output: [input] dense+activation [norm] projection.
struct HeadSpec {
  HeadKind kind = HeadKind::kPooler;
  HeadInput input = HeadInput::kFirstToken;
  // Of kEnds and kAttended: (h1, h2, |h1 - h2|, h1 * h2), where h1 is read of the tokens of type 0 and h2 of
  // those of type 1; where there are none h2 is 0.
  bool compares = false;
  LinearSpec attention, attention_score;  // of kAttended: [A, hidden_size] with bias, [1, A] without
  bool has_dense = false;
  LinearSpec dense;
  Activation activation = Activation::kTanh;
  bool has_norm = false;
  NormSpec norm;
  bool has_projection = false;
  LinearSpec projection;        // logits; its weight is the word embeddings when tied to them (masked LM)
  std::string projection_bias;  // tensor name when it is not projection.name + ".bias"
  bool tied_to_word_embeddings = false;
  // MobileBERT's masked LM, whose projection is wider than its rows: they hold the first columns, this tensor
  // [projection.in - embedding width, projection.out] transposed the others. Empty: the rows are all.
  std::string projection_rest;
};

struct Description {
  std::string family;  // "bert", "distilbert": model_type
  EmbeddingSpec embedding;
  std::vector<Block> blocks;
  int output = 0;  // value that leaves the encoder
  int64_t hidden_size = 0, num_layers = 0, max_positions = 0;
  std::vector<HeadSpec> heads;  // those the config announces or whose tensors are present
  const HeadSpec* find_head(HeadKind kind) const;
};

// The module whose rows, one an output, the weight of a masked-LM head's projection begins with: the word
// embeddings where it is tied to them. And how wide they are: all of projection.in without projection_rest.
const std::string& projection_rows(const Description& description, const HeadSpec& head);
int64_t projection_row_width(const Description& description, const HeadSpec& head);

}  // namespace penjing
