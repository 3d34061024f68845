#pragma once

#include <functional>
#include <map>
#include <string>

#include "distill/connections.h"
#include "train/encoder.h"

namespace penjing::distill {

// What of a forward is kept.
struct OutputNeeds {
  std::function<unsigned(int64_t layer)> layers;  // bits of Need; layer 0: the embeddings' output
  unsigned whole = 0;                             // kLogits, kTokenLogits, kEmbeddings
};

// Collects the outputs of one forward, differentiable. `next`: another tap that sees the same, or null.
class OutputsTap final : public train::TensorTap {
 public:
  OutputsTap(const Description& description, const OutputNeeds& needs, train::TensorTap* next);
  bool wants(std::string_view site) override;
  void on(std::string_view site, int layer, const at::Tensor& rows) override;
  bool wants_scores(int layer) override;
  void on_scores(int layer, const train::AttentionScores& scores) override;

  // kUnsupported when the task runs the encoder several times a step, or something that is needed did not
  // come.
  Outputs take();

 private:
  struct Place {
    at::Tensor* tensor = nullptr;
    std::string what;
  };
  void want(const std::string& site, at::Tensor& tensor, const std::string& what);

  std::function<unsigned(int64_t layer)> layers_;
  train::TensorTap* next_;
  Outputs outputs_;
  std::multimap<std::string, Place, std::less<>> places_;
};

}  // namespace penjing::distill
