#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace penjing {

// Exits: classifiers behind layers that are not the last, where a row may leave (BranchyNet; Zhang et al.
// 2019, "Be Your Own Teacher"; Xin et al. 2020, DeeBERT). compression_config.exits lists how many layers lie
// before each, ascending: [2, 4] of a model of six, read from the first token as the model's own classifier,
// or {"layers": [2, 4], "input": "mean"}. Each is shaped as the model's own classifier; its tensors
// are exits.LAYER.dense.* and exits.LAYER.classifier.*, which other loaders leave alone: where nobody asks
// for exits, the model is what it would be without them.
inline constexpr const char* kExitsKey = "exits";

// What an exit reads of its layer: the first token, or the mean of all tokens, which says something of the
// text in early layers too.
enum class ExitInput { kFirstToken, kMean };
const char* name_of(ExitInput input);  // "first", "mean"

struct ExitSpec {
  int64_t layer = 0;  // how many lie before it
  int value = 0;      // of the description, what it reads
  HeadSpec head;
  ExitInput input = ExitInput::kFirstToken;
};

// Of a described model, in their order; none where it has no exits. kFormat where config.json names layers
// that are not the model's, or the model has no classifier of one class of several that reads the first
// token.
std::vector<ExitSpec> read_exits(const Model& model);

// kFormat, as above, where the model could not have exits behind these layers.
void check_exits(const std::vector<int64_t>& layers, const Model& model);

// The classifier of the exit behind `layer` layers.
HeadSpec exit_head(const HeadSpec& classifier, int64_t layer);

// Writes the key; the tensors are there already.
void set_exits(Model& model, const std::vector<int64_t>& layers, ExitInput input = ExitInput::kFirstToken);
// Key and tensors; true when there were any.
bool drop_exits(Model& model);

int64_t count_parameters(const ExitSpec& exit);

// Floating-point operations (as in model/cost.h) of a sequence that leaves behind `layer` layers, num_layers:
// at the end, with the classifiers that it meets: of the exits those from the one behind `first_exit` layers
// on, 0: none.
int64_t flops_until(const Description& description, const std::vector<ExitSpec>& exits,
                    int64_t sequence_length, int64_t layer, int64_t first_exit);

}  // namespace penjing
