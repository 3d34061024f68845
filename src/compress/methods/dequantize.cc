// dequantize: every tensor back to FP32, W = s_o q; quantization_config removed. The values stay those that
// the quantized model computes with.
#include "base/error.h"
#include "compress/params.h"
#include "model/linear.h"

namespace penjing {

namespace {

struct Params {
  template <class Visitor>
  void visit(Visitor&) {}
};

Model apply(const Model& input, const Json&, MethodContext&, MethodReport& report) {
  (void)activation_scheme(input.config);  // refuses, by name, a scheme whose tensors we do not know
  constexpr std::string_view kScale = ".weight_scale", kZeroPoint = ".weight_zero_point";
  Model model = input;
  model.tensors = TensorMap();
  int64_t count = 0;
  for (const auto& [name, tensor] : input.tensors) {
    if (name.ends_with(kZeroPoint)) {
      for (const float zero : read_floats(tensor, name)) {
        if (zero != 0)
          fail(ErrorKind::kUnsupported, "tensor {}: found {}; weights must be symmetric", name, zero);
      }
      continue;
    }
    if (name.ends_with(kScale)) continue;
    if (name.ends_with(".weight_packed"))
      fail(ErrorKind::kUnsupported, "tensor {}: packed weights are not supported", name);
    const Tensor* scale = name.ends_with(".weight") ? input.tensors.find(name + "_scale") : nullptr;
    if (scale == nullptr &&
        (tensor.type == DType::kF32 || !is_computable(tensor.type) ||
         (tensor.type != DType::kF16 && tensor.type != DType::kBF16 && tensor.type != DType::kF64))) {
      model.tensors.set(name, tensor);
      continue;
    }
    std::vector<float> values = read_floats(tensor, name);
    if (scale != nullptr) {
      const std::vector<float> scales = read_floats(*scale, name + "_scale");
      if (tensor.shape.size() != 2 || static_cast<int64_t>(scales.size()) != tensor.shape[0]) {
        fail(ErrorKind::kUnsupported, "tensor {}: {} scales for shape {}; wanted one a row", name,
             scales.size(), to_string(tensor.shape));
      }
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] *= scales[i / static_cast<std::size_t>(tensor.shape[1])];
    }
    model.tensors.set(name, Tensor::from_floats(tensor.shape, values));
    ++count;
  }
  model.config.erase("quantization_config");
  use_float_attention(model);
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (model.config.contains(key)) model.config.set(key, "float32");
  }
  report.details.set("expanded_tensors", count);
  check_model(model, false);
  return model;
}

}  // namespace

extern const Method dequantize_method;
const Method dequantize_method = {
    "dequantize",
    "dequantize",
    "back to FP32, as an ordinary checkpoint",
    "Expands int8, fp16 and bf16 tensors to FP32 and removes the quantization settings, so that any loader "
    "can read the "
    "result.\n\nExamples:\n  penjing dequantize minilm-int8 --out minilm-fp32-again",
    Needs::kNothing,
    list_params<Params>,
    apply};

}  // namespace penjing
