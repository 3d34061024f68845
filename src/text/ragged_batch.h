#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing {

// Token ids of several sequences, packed end to end: sequence i holds tokens [offsets[i], offsets[i+1]).
// The runtime never sees padding. type_ids is empty (all 0) or as long as ids.
struct RaggedBatch {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
  std::vector<int64_t> offsets{0};

  int64_t num_sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t num_tokens() const { return offsets.back(); }
  int64_t length(int64_t i) const { return offsets[i + 1] - offsets[i]; }
  void clear() { ids.clear(), type_ids.clear(), offsets.assign(1, 0); }

  // Appends one sequence; `types` empty means all 0.
  void append(std::span<const int32_t> sequence, std::span<const int32_t> types = {}) {
    if (!types.empty() || !type_ids.empty()) {
      type_ids.resize(ids.size(), 0);
      type_ids.insert(type_ids.end(), types.begin(), types.end());
      type_ids.resize(ids.size() + sequence.size(), 0);
    }
    ids.insert(ids.end(), sequence.begin(), sequence.end());
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
};

}  // namespace penjing
