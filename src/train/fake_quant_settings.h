#pragma once

#include <string>
#include <string_view>
#include <vector>

// What quantization-aware training is told. No LibTorch here: the command line reads this.
namespace penjing::train {

enum class ActivationRange { kPerToken, kMovingAverage, kLearned };

struct FakeQuantSettings {
  int weight_bits = 8;      // 8: +-127, 7: +-63, 4: +-7
  int activation_bits = 8;  // 8 or 7; 0: not quantized
  bool weight_per_channel = true;
  bool weight_learned = false;  // LSQ; else the extremes of the moment
  bool symmetric = false;       // activations: around zero, else with a zero point
  ActivationRange activations = ActivationRange::kPerToken;
  std::vector<std::string> exclude;  // modules that stay in float; * and ? allowed
};
// Sets the bits: w8a8, w7a8, w7a7, w4a8, w8a16. Throws kInput for others.
void set_scheme(FakeQuantSettings& settings, std::string_view scheme);

}  // namespace penjing::train
