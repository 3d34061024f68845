#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/model.h"
#include "train/torch.h"

namespace penjing::train {

// The trainable tensors of a model, FP32, under their canonical names (model/model.h), in the order of the
// checkpoint.
class Parameters {
 public:
  struct Entry {
    std::string name;
    at::Tensor tensor;
  };
  // Null when there is none of the name.
  const at::Tensor* find(std::string_view name) const;
  const at::Tensor& at(std::string_view name) const;  // throws kFormat "missing tensor NAME"
  // Undefined when absent.
  at::Tensor get_or_undefined(std::string_view name) const;
  void add(std::string name, at::Tensor tensor);  // becomes a leaf that requires a gradient
  // Another name of a parameter that is there: layers that share a weight train it together.
  void add_alias(std::string name, std::string_view of);
  // The parameter of another set, under another name: both sets train it. `tie`: in the place of the one of
  // the name, kFormat where there is none; `share`: a new one.
  void tie(std::string_view name, const at::Tensor& tensor);
  void share(std::string name, const at::Tensor& tensor);
  std::size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  int64_t num_elements() const;
  at::Device device() const;  // of all; the CPU when there are none
  // With whether each requires a gradient; gradients are dropped. Where they lie there already they stay what
  // they are, also for who shares them.
  void move_to(at::Device device);
  void zero_gradients();  // drops them

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

// Names of what is learned beside the model and thrown away after training (projections of distillation)
// begin with it.
inline constexpr std::string_view kAside = "aside.";

// Every floating-point tensor of the model that its description uses (a quantized linear layer is expanded to
// FP32).
Parameters load_parameters(const Model& model);
// Puts the parameters' values back as F32 tensors; what a quantized or factorized layer had instead goes, and
// config.json tells of no quantization any more. Tensors of other names stay, parameters of kAside are left
// out.
void store_parameters(const Parameters& parameters, Model& model);

// Copies between the two kinds of tensor.
at::Tensor to_torch(const Tensor& tensor, std::string_view name);  // FP32, on the CPU
Tensor from_torch(const at::Tensor& tensor);                       // F32, F64, I64, I32, U8, BF16 as it is

}  // namespace penjing::train
