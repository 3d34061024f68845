#pragma once

#include <cstdint>
#include <vector>

#include "train/objective.h"

namespace penjing::distill {

// How many of the teacher's layers each of the student's stands for, from the bottom: `given`, or equal
// groups where it is empty. kInput when the teacher's layers do not divide, or the groups do not cover them.
std::vector<int64_t> layer_groups(const std::vector<int64_t>& given, int64_t student_layers,
                                  int64_t teacher_layers);

// A teacher's layers in groups, the predecessor modules, each of which a layer of the student, its successor,
// may replace (Xu et al. 2020, "BERT-of-Theseus", section 3.1). Embeddings and heads are the student's.
class ReplaceableModules {
 public:
  // The student's parameters are shared: gradients of network() arrive there. The teacher's get none.
  // kInput when embeddings or heads of the two differ, or their widths do; kUnsupported for layers that read
  // more than the layer before. `student` must outlive this.
  ReplaceableModules(const train::Network& student, const Model& teacher,
                     const train::Parameters& teacher_parameters, const std::vector<int64_t>& groups);

  std::size_t size() const { return successors_.size(); }
  // The student's layer i where replaced[i], else the teacher's group in its place. Holds until the next
  // call.
  const train::Network& network(const std::vector<bool>& replaced);

 private:
  using Layer = std::vector<Block>;  // its values numbered from 0, which is what enters the layer
  void append(const Layer& layer);

  std::vector<Layer> successors_;
  std::vector<std::vector<Layer>> predecessors_;
  Model model_;
  train::Network network_;
};

}  // namespace penjing::distill
