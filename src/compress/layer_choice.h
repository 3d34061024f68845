#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penjing {

// The teacher layers that become the `count` layers of a student (0: all of them), ascending, from 0. L is
// the number of the teacher's layers:
//   uniform    round(i (L - 1) / (count - 1)): 12 -> 6 takes 0,2,4,7,9,11, those of DistilBERT (Sanh et al.
//              2019); one layer: the first
//   first      0 ... count - 1: Poor Man's BERT's "top dropping" (Sajjad et al. 2020)
//   last       L - count ... L - 1: its "bottom dropping"
//   skip       k - 1, 2k - 1, ... with k = L / count: PKD-Skip (Sun et al. 2019); count must divide L
//   alternate  every second layer goes, counted down from the last but one: its "odd-alternate dropping"
//              (12 -> 8 keeps 0,1,2,3,5,7,9,11); at most half of the layers can go
//   symmetric  the middle goes: the first ceil(count / 2) and the last floor(count / 2)
//   0,3,5      these
// kInput for what cannot be had.
std::vector<int> choose_layers(const std::string& from, int64_t count, int64_t teacher_layers);

}  // namespace penjing
