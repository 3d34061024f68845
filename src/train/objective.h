#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/evaluation.h"
#include "text/tokenizer.h"
#include "train/batches.h"
#include "train/encoder.h"

namespace penjing::train {

// The model in training: what every part of the trainer is given.
struct Network {
  const Model* model =
      nullptr;  // config, description, sentence modules; its tensors are not read after loading
  Parameters parameters;
  std::unique_ptr<Encoder> encoder;  // on parameters
  // Where the parameters lie: batches, targets and what is computed lie there too.
  at::Device device() const { return parameters.device(); }
};

// One tokenized text or pair of texts.
struct Sequence {
  std::vector<int32_t> ids, types;  // types empty: all 0
  int64_t prompt = 0;               // of them at the start, what a pooling that leaves the prompt out skips
};

// Loss of some examples. `sum` is over them, each with its weight; the loop divides by the weight of the
// whole step, so that micro batches, gradient accumulation and ranks do not change the result.
struct LossSum {
  at::Tensor sum;  // scalar, FP32
  // Means of further quantities for the log ("accuracy" of the batch, a loss' parts), may be empty.
  std::vector<std::pair<std::string, double>> details;
};

// A task as the loop sees it: examples, their loss, their score. A file in train/objectives/, a line in
// objectives.def. Made from the user's data and the model before training; immutable then, except for state
// that save() and restore() carry (mined negatives, learned parameters are in Network::parameters).
class Objective {
 public:
  virtual ~Objective() = default;

  virtual int64_t num_examples() const = 0;
  // The sequences of an example: 1 for classes and scores, 2 for pairs to be embedded, 3 for triplets. For
  // the batcher (tokens) and for who feeds the network.
  virtual std::span<const Sequence> sequences(int64_t example) const = 0;
  // What is learned of the example beside its tokens (label, score, spans), as text: a run is resumed with
  // the same only. A stream tells nothing: its place does.
  virtual std::string target(int64_t example) const = 0;
  // What the example counts in the mean: 1; its class weight; its number of labelled tokens.
  virtual double weight(int64_t example) const { return (void)example, 1; }
  // Examples of which no step mixes two (several tasks), in their order; empty: all are one.
  virtual std::vector<Batches::Group> groups() const { return {}; }
  // A stream (pretraining) has no examples that could be counted: num_examples() is 0, and the loop asks for
  // each step's by next_examples(), as many as the batch's settings say, over all ranks. The other functions
  // then take the examples of the last call alone; state() is the place behind them.
  virtual bool is_stream() const { return false; }
  virtual std::vector<int64_t> next_examples(const Batches::Settings& size) {
    return (void)size, std::vector<int64_t>();
  }
  virtual double epoch() const { return 0; }  // of a stream: times that it went through its files
  // False: there is nothing to learn from but what a teacher says (distillation).
  virtual bool has_loss() const { return true; }
  // The number of an example's class, where it has one; else -1.
  virtual int64_t class_of(int64_t example) const { return (void)example, -1; }
  // Whether a step's loss is a sum over its examples. If not (in-batch negatives), a step's examples come in
  // one call and `loss` divides the work itself.
  virtual bool is_sum() const { return true; }

  // Examples of one micro batch, in training (context.training) or not. epoch: for objectives whose examples
  // change (dynamic masking), which draw from context.random and the example's number alone.
  virtual LossSum loss(const Network& network, const ForwardContext& context,
                       std::span<const int64_t> examples, int64_t epoch) const = 0;

  // Before the first step of a run, not of one that is resumed: what is found out of the network as it starts
  // is returned for the log (an object, empty where there is nothing), and kept in state(). `steps`: examples
  // of the first steps of each group, no more of each than one call of `loss` takes. Not of a stream.
  virtual Json begin(const Network& network, const ForwardContext& context,
                     std::span<const std::vector<int64_t>> steps) {
    return (void)network, (void)context, (void)steps, Json::object();
  }

  // What the learning rate of a layer's parameters is multiplied by in a step that begins at `progress`, as
  // of embeddings (layer 0). Heads learn at the whole rate.
  virtual double layer_rate(int64_t layer, double progress) const { return (void)layer, (void)progress, 1; }

  // Scores on the held-back split, metrics as in eval/ (the main one first); empty when there is no such
  // split.
  virtual TaskResult evaluate(const Network& network, const ForwardContext& context) const = 0;
  virtual bool has_evaluation() const = 0;

  // After training, with the trained parameters in `network` and stored in `model`: adds what is learned
  // without gradients (few-shot: the classifier on the embeddings).
  virtual void finish(const Network& network, const ForwardContext& context, Model& model) const {
    (void)network, (void)context, (void)model;
  }

  // Shown before training: how the data was read, class counts, length percentiles.
  virtual std::string summary() const = 0;
  virtual Json state() const { return Json::object(); }
  virtual void restore(const Json& state) { (void)state; }
  // The same of what is large.
  virtual TensorMap tensors() const { return {}; }
  virtual void restore_tensors(const TensorMap& tensors) { (void)tensors; }
};

// What an objective is made from.
struct ObjectiveInput {
  TaskInput data;  // data, columns, limit: as eval reads them; train split and held-back split
  std::string train_split = "train", eval_split = "dev";
  int64_t max_length = 128;  // tokens
  Json params =
      Json::object();  // the kind's own parameters: label_smoothing, class_weights, temperature, ...
  uint64_t seed = 1;
  ThreadPool* pool = nullptr;
  at::Device device = at::kCPU;  // of forwards before training (mined negatives, a teacher's answers)
};

// A kind of objective. prepare: makes the model ready (adds the head that the task needs with fresh weights
// drawn from the seed, sets config.json's architectures, id2label, problem_type) and reads the data.
struct ObjectiveKind {
  const char* name;     // "classification"
  const char* aliases;  // task names of GLUE that it takes: "sst2 rte"
  const char* summary;
  std::unique_ptr<Objective> (*make)(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input);
  int64_t max_length = 128;  // tokens, where none are asked for
};
std::span<const ObjectiveKind* const> all_objectives();
const ObjectiveKind* find_objective(std::string_view name);

}  // namespace penjing::train
