// minilm: self-attention relations. With x and y of a head, R = softmax(x y^T / sqrt(head_dim)): for each
// relation the mean over heads and tokens of KL(R_T || R_S), summed over relations. MiniLM (Wang et al. 2020,
// arXiv:2002.10957), last layer: relations attention (query with key) and value (value with
//   value), heads as they are (relation_heads = 0; as many on both sides).
// MiniLMv2 (Wang et al. 2021, arXiv:2012.15828), one layer: relations query, key and value, each with itself,
// where
//   all heads' vectors are put together and split anew into relation_heads heads (48 for BERT-base, 64 for
//   large), of any width: heads and widths of the two models need not be the same.
// "attention" is from queries and keys alone: relative position biases and windows are not in it.
#include <algorithm>
#include <cmath>

#include "distill/loss.h"
#include "distill/soft_targets.h"
#include "train/split_sequences.h"

namespace penjing::distill {

namespace {

struct Params {
  std::vector<std::string> relations = {"query", "key", "value"};
  int64_t relation_heads = 0;
  template <class Visitor>
  void visit(Visitor& v) {
    v.list("relations", relations, "of: query, key, value (each with itself), attention (query with key)");
    v.integer("relation_heads", relation_heads, 0, 4096,
              "heads that vectors are split into; 0: the model's own");
  }
};

void check_relations(const std::vector<std::string>& relations) {
  for (const std::string& relation : relations) {
    if (relation != "query" && relation != "key" && relation != "value" && relation != "attention") {
      fail(ErrorKind::kInput, "minilm: relations: \"{}\", wanted query, key, value or attention", relation);
    }
    if (std::count(relations.begin(), relations.end(), relation) > 1) {
      fail(ErrorKind::kInput, "minilm: relations: \"{}\" is there twice", relation);
    }
  }
  if (relations.empty()) fail(ErrorKind::kInput, "minilm: relations: [], wanted one at least");
}

unsigned needs_of(const std::vector<std::string>& relations) {
  check_relations(relations);
  unsigned needs = 0;
  for (const std::string& relation : relations) {
    needs |= relation == "query"   ? kQuery
             : relation == "key"   ? kKey
             : relation == "value" ? kValue
                                   : kQuery | kKey;
  }
  return needs;
}

class MiniLm final : public LayerLoss {
 public:
  MiniLm(const Params& params, const LossSetup& setup)
      : LayerLoss(needs_of(params.relations), setup), params_(params) {}
  Unit unit() const override { return Unit::kTokens; }

 private:
  // Of each sequence: [heads, L, width / heads].
  static std::vector<at::Tensor> split(const at::Tensor& rows, int64_t heads, const LossInput& input) {
    if (rows.size(1) % heads != 0) {
      fail(ErrorKind::kInput, "minilm: relation_heads: {} heads of vectors of {} elements", heads,
           rows.size(1));
    }
    std::vector<at::Tensor> parts = train::split_sequences(rows, input.offsets);
    for (at::Tensor& part : parts) part = part.view({-1, heads, rows.size(1) / heads}).transpose(0, 1);
    return parts;
  }
  // What a relation is between, of each sequence.
  struct Related {
    std::vector<at::Tensor> from, to;
    // Logits of a sequence: [heads, L, L].
    at::Tensor logits(std::size_t sequence) const {
      const at::Tensor& x = from[sequence];
      return at::bmm(x, to[sequence].transpose(1, 2)) / std::sqrt(static_cast<double>(x.size(2)));
    }
  };
  static Related related(const LayerOutputs& layer, const std::string& name, int64_t heads,
                         const LossInput& input) {
    if (name == "attention") return {split(layer.query, heads, input), split(layer.key, heads, input)};
    const at::Tensor& rows = name == "key" ? layer.key : name == "value" ? layer.value : layer.query;
    const std::vector<at::Tensor> parts = split(rows, heads, input);
    return {parts, parts};
  }
  at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t,
                      const LossInput& input) override {
    const bool own = params_.relation_heads == 0;
    if (own && student.num_heads != teacher.num_heads) {
      fail(ErrorKind::kInput, "minilm: relation_heads: 0, but there are {} heads and {} of the teacher",
           student.num_heads, teacher.num_heads);
    }
    const int64_t heads = own ? student.num_heads : params_.relation_heads;
    at::Tensor sum;
    for (const std::string& name : params_.relations) {
      const Related learns = related(student, name, heads, input);
      const Related teaches = related(teacher, name, heads, input);
      for (std::size_t i = 0; i + 1 < input.offsets.size(); ++i) {
        const at::Tensor term =
            soft_target_loss(learns.logits(i), teaches.logits(i), 1, Divergence::kKl).sum();
        sum = sum.defined() ? sum + term : term;
      }
    }
    return sum / (units(input) * static_cast<double>(heads));
  }

  Params params_;
};

unsigned needs(const Json& params) {
  const Params read = read_params<Params>(params);
  return needs_of(read.relations) | (read.relation_heads == 0 ? kEqualHeads : 0u);
}

}  // namespace

extern const LossKind minilm_loss;
const LossKind minilm_loss = {"minilm",
                              "self-attention relations of queries, keys and values",
                              "Wang et al. 2020, arXiv:2002.10957; 2021, arXiv:2012.15828",
                              list_params<Params>,
                              needs,
                              make_loss<MiniLm, Params>};

}  // namespace penjing::distill
