#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "distill/mutual.h"
#include "distill/objective_around.h"

namespace penjing::distill {

// Another student in training. Its parameters are among the first one's, under names that begin with its
// prefix (kAside), so that optimizer, checkpoints and averages know them; its description has these names.
struct Peer {
  Model start;  // as it was loaded, with a head for the task
  Model model;  // with names of the prefix
  std::string prefix;
  train::Network network;
};
// Adds the parameters of `start` to the first peer's.
std::unique_ptr<Peer> make_peer(Model start, int64_t number, train::Parameters& parameters);
// The peer as a model of its own.
Model trained_peer(const Peer& peer);

// The sum over all peers i of
//   task's loss_i + weight T^2 / (N - 1) sum over the others j of KL(p_j || p_i)
// with p = softmax(logits / T) and p_j constant (Zhang et al. 2018, equations 3 to 9, where T is 1); of one
// output the squared difference is in the place of KL. Deviation: the paper updates the peers in turn, here
// all of them take a step at once.
class MutualObjective final : public ObjectiveAround {
 public:
  // on_finish: hears the main score of each peer (none without an evaluation) and may put another peer's
  // weights into the model.
  using OnFinish = std::function<void(const std::vector<double>& scores,
                                      std::span<const std::unique_ptr<Peer>> peers, Model& model)>;
  MutualObjective(std::unique_ptr<train::Objective> task, std::vector<std::unique_ptr<Peer>> others,
                  double weight, double temperature, OnFinish on_finish);

  train::LossSum loss(const train::Network& network, const train::ForwardContext& context,
                      std::span<const int64_t> examples, int64_t epoch) const override;
  void finish(const train::Network& network, const train::ForwardContext& context,
              Model& model) const override;

 private:
  std::vector<std::unique_ptr<Peer>> others_;
  double weight_, temperature_;
  OnFinish on_finish_;
};

}  // namespace penjing::distill
