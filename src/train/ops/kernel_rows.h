#pragma once

#include <cstring>
#include <string>
#include <type_traits>

#include "kernels/train_rows.h"
#include "train/ops.h"

#if !defined(_OPENMP)
#error "at::parallel_for, a template, runs on one thread when it is compiled without OpenMP"
#endif

// Between tensors and the arguments of the kernels for training (src/kernels/train_*).
namespace penjing::train {

// Rows that our kernels take; others go to reference.h.
inline bool has_kernel(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

inline train_rows::Element element_of(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat ? train_rows::Element::kFloat : train_rows::Element::kBfloat16;
}

// The words of the stream as reference.h defines them.
train_rows::Dropout kernel_dropout(const DropoutSite& site);

template <typename T>
T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<T>() : nullptr;
}
inline void* rows_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr() : nullptr;
}
// An autograd function takes a tensor that may be undefined as one of these.
using MaybeTensor = c10::optional<at::Tensor>;
inline MaybeTensor maybe(const at::Tensor& tensor) {
  return tensor.defined() ? MaybeTensor(tensor.contiguous()) : MaybeTensor();
}
inline at::Tensor tensor_or_undefined(const MaybeTensor& tensor) {
  return tensor.value_or(at::Tensor());
}
// `row` rows of `width` elements further on; null stays null.
template <typename T>
T* advance(T* rows, const at::Tensor& like, int64_t row, int64_t width) {
  if (rows == nullptr) return nullptr;
  const auto bytes = row * width * static_cast<int64_t>(like.element_size());
  if constexpr (std::is_const_v<T>) {
    return static_cast<const char*>(rows) + bytes;
  } else {
    return static_cast<char*>(rows) + bytes;
  }
}

// Whether an operation on these will be differentiated.
template <typename... Tensors>
bool needs_gradient(const Tensors&... tensors) {
  return at::GradMode::is_enabled() && ((tensors.defined() && tensors.requires_grad()) || ...);
}

// Plain values that a backward pass needs, kept as bytes: saved_data holds no structs.
template <typename T>
void keep_values(torch::autograd::AutogradContext& context, const T& values) {
  static_assert(std::is_trivially_copyable_v<T>);
  context.saved_data["values"] = std::string(reinterpret_cast<const char*>(&values), sizeof values);
}
template <typename T>
T kept_values(torch::autograd::AutogradContext& context) {
  T values;
  std::memcpy(&values, context.saved_data["values"].toStringRef().data(), sizeof values);
  return values;
}

// Rows that one thread takes at least, so that a piece of work is worth waking it.
inline int64_t rows_a_thread(int64_t width) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width));
}

}  // namespace penjing::train
