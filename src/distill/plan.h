#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "distill/layer_map.h"
#include "distill/loss_kind.h"
#include "model/description.h"

// The plan of a distillation: which losses, between which places of student and teacher, through which maps,
// when and how much. Read from a recipe, checked against the two models before any work, written back
// resolved, shown as a table. No LibTorch here; connections.h carries it out.
namespace penjing::distill {

// What of a model a plan is checked against.
struct ModelShape {
  std::vector<int64_t> widths;  // of layers 0 (the embeddings' output) to num_layers
  std::vector<int64_t> heads;   // of attention in layers 1 to num_layers; 0: the layer has none
  int64_t logits = 0;           // of the head; 0: not known
  int64_t embedding = 0;        // width of sentence embeddings; 0: not known
  int64_t num_layers() const { return static_cast<int64_t>(heads.size()); }
};
// Of an encoder; sentence embeddings are as wide as its output unless set otherwise.
ModelShape shape_of(const Description& description);

// A learned linear map from the student's width to the teacher's, of rows or of sentence embeddings.
//   init "normal": weights of the deviation; "identity": ones on the diagonal; "svd": the first right
//   singular vectors of the teacher's word embeddings, which is the way back from a width that was cut by
//   them; "least_squares": takes the student's word embeddings closest to the teacher's.
struct Projection {
  std::string name;       // of its parameters: terms with the same name share it
  bool per_layer = true;  // one for each place, else one for all
  bool bias = true;
  std::string init = "normal";
  double deviation = 0.02;
};

// How attention heads are matched where both sides' numbers of heads may differ.
//   "equal": as they are; "mean": consecutive heads of the side that has more are averaged, in groups; pairs
//   [[student, teacher], ...] of heads, from 0.
struct HeadMap {
  std::string rule = "equal";
  std::vector<LayerPair> pairs;
};

// One loss of the plan.
struct LossTerm {
  const LossKind* kind = nullptr;
  std::string name;    // unique: in logs, of its parameters ("aside.distill.<name>.")
  Json params;         // resolved
  unsigned needs = 0;  // with these parameters
  LayerMap layers;
  bool mean_over_layers = false;
  std::optional<Projection> projection;
  HeadMap heads;
  double weight = 1, end_weight = 1;  // from the one to the other in the first `ramp` of the stage
  double from = 0, to = 1, ramp = 0;  // shares of the training
  double balance = 0;  // above 0: the weight counts in gradients of the plan's first term (distill/balance.h)
  // While the term counts: times the learning rate of what lies before the student's layers that it teaches.
  double earlier_rate = 1;
};

// The weight at a share of the training that is done; 0 outside of [from, to) (the end of the training
// belongs to a stage that goes to 1).
double weight_at(const LossTerm& term, double progress);

struct Plan {
  std::vector<LossTerm> terms;
};
bool has_balance(const Plan& plan);  // of any term

// A list of objects:
//   {"loss": "mse", "name": "hidden", "params": {"of": "rows"}, "weight": 1 or [0, 1], "ramp": 0.1, "from":
//   0, "to": 0.5,
//    "layers": "uniform", "reduce": "sum" or "mean", "heads": "equal", "mean" or [[0, 1], ...],
//    "projection": false, true or {"name": "fit", "per_layer": false, "bias": true, "init": "normal",
//    "deviation": 0.02}, "progressive": false, "earlier_rate": 1, "balance": 0}
// progressive: the layers take turns, each in a window of its own of the stage (distill/turns.h); the plan
// then has a term for each, and earlier_rate is 0.1 unless it is given.
// Only "loss" must be there. Defaults: layers "uniform" ("final" for relations between a layer's tokens or
// between examples), a projection of each place where a loss wants equal widths and they differ. kInput names
// the key: "losses.1.layers: ...".
Plan read_plan(const Json& losses, const ModelShape& student, const ModelShape& teacher);
Json to_json(const Plan& plan);  // every key with its value; reads back to the same plan
std::string explain(const Plan& plan, const ModelShape& student, const ModelShape& teacher);

}  // namespace penjing::distill
