#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

// Which of the student's layers learns from which of the teacher's. Layer 0 is the embeddings' output, layer
// m the output of the m-th layer of n, and for attention its own. No LibTorch here.
namespace penjing::distill {

struct LayerPair {
  int64_t student = 0, teacher = 0;
  bool operator==(const LayerPair&) const = default;
};

// A recipe's "layers" for a student of M layers and a teacher of N:
//   "uniform"    m with m N / M, rounded, for m = 1..M: every k-th, the last with the last (TinyBERT)
//   "skip"       the same without the last layer (PKD-skip)
//   "top"        m with N - M + m: the teacher's last M
//   "last"       the same without the last layer (PKD-last)
//   "bottom"     m with m: the teacher's first M
//   "final"      the last with the last alone (MiniLM)
//   [[1, 3], [-1, -1]]          explicit pairs of student and teacher; -1 is the last, -2 the one before
//   "attention"                 each of the student's layers with a learned mixture of all of the teacher's
//   {"attention": [3, -1], "teacher": [6, 9, 12]}    those of the student, of those of the teacher (default:
//   all)
struct LayerMap {
  std::string rule = "none";              // or "pairs" for explicit ones; "none": the loss reads no layers
  std::vector<LayerPair> pairs;           // not for attention, in the order given
  std::vector<int64_t> student, teacher;  // attention: the places, and what each is a mixture of

  bool is_attention() const { return rule == "attention"; }
  std::size_t num_places() const { return is_attention() ? student.size() : pairs.size(); }
};

// `where` ("losses.1.layers") starts the kInput errors.
LayerMap read_layer_map(const Json& json, int64_t student_layers, int64_t teacher_layers,
                        const std::string& where);
Json to_json(const LayerMap& map);          // resolved: explicit pairs, or lists
std::string describe(const LayerMap& map);  // "uniform: 1-2 2-4 3-6"

}  // namespace penjing::distill
