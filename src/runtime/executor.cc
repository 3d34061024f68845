#include "runtime/executor.h"

#include <algorithm>

#include "runtime/panel_rows.h"

namespace penjing {
namespace {

// Outputs of one task: 48 x 64 tokens are 12 KiB, so that the activation that follows finds them in the first
// cache; a multiple of every output tile of the kernels. Fewer when there are too few tasks for the threads.
constexpr int64_t kChunkOutputs = 48;
constexpr int64_t kTasksPerThread = 4;

// Room after each buffer for a kernel that reads a register past the last row.
constexpr std::size_t kSlackBytes = 64;

pointwise::Function function_of(Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return pointwise::Function::kGelu;
    case Activation::kGeluTanh:
      return pointwise::Function::kGeluTanh;
    case Activation::kSilu:
      return pointwise::Function::kSilu;
    case Activation::kTanh:
      return pointwise::Function::kTanh;
    case Activation::kRelu:
    case Activation::kNone:
      break;
  }
  return pointwise::Function::kRelu;
}

}  // namespace

Executor::Executor(const Program& program, ThreadPool& pool, StepEvent::Phase phase, StepObserver* observer)
    : program_(program),
      pool_(pool),
      pointwise_(pointwise::select()),
      quantize_(quantize::select()),
      phase_(phase),
      observer_(observer),
      buffers_(program.buffer_bytes.size()),
      wanted_(program.sites.size()) {}

void Executor::reserve(int64_t num_tokens) {
  shape_ = {num_tokens};
  const int64_t padded = shape_.padded_tokens();
  if (padded <= capacity_tokens_) return;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    buffers_[i] = {};  // first, so that old and new are never held together
    buffers_[i] =
        AlignedBuffer<std::byte>(static_cast<std::size_t>(program_.buffer_bytes[i] * padded) + kSlackBytes);
  }
  capacity_tokens_ = padded;
}

float* Executor::floats(int slot) {
  const int buffer = program_.slots[static_cast<std::size_t>(slot)].buffer;
  return reinterpret_cast<float*>(buffers_[static_cast<std::size_t>(buffer)].data());
}

const float* Executor::floats(int slot) const {
  return const_cast<Executor*>(this)->floats(slot);
}

// Codes [K4] of every panel, in quads, then the scales, then the zero points of all tokens.
Executor::Codes Executor::codes(int index) {
  const Slot& slot = program_.slots[static_cast<std::size_t>(index)];
  std::byte* base = buffers_[static_cast<std::size_t>(slot.buffer)].data();
  const int64_t padded = shape_.padded_tokens(), code_rows = (slot.features + 3) / 4 * 4;
  std::byte* scale = base + code_rows * padded;
  return {reinterpret_cast<uint8_t*>(base), reinterpret_cast<float*>(scale),
          reinterpret_cast<int32_t*>(scale + 4 * padded)};
}

void Executor::run(const TokenSpan* tokens, Tap* tap) {
  any_wanted_ = false;
  if (tap != nullptr) {
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      wanted_[i] = tap->wants(program_.sites[i].name);
      any_wanted_ = any_wanted_ || wanted_[i];
    }
  }
  if (tokens != nullptr && program_.max_head_dim > 0) {
    attention_.reserve(*tokens, pool_.num_threads(), program_.max_head_dim, program_.has_window);
  }
  if (observer_ == nullptr) {
    for (const Step& step : program_.steps) run_step(step, tokens, tap);
    return;
  }
  for (std::size_t i = 0; i < program_.steps.size(); ++i) {
    const auto begin = StepEvent::Clock::now();
    run_step(program_.steps[i], tokens, tap);
    const auto end = StepEvent::Clock::now();
    if (std::holds_alternative<TapStep>(program_.steps[i])) continue;
    observer_->on_step({phase_, &program_, static_cast<int>(i), shape_.num_tokens, tokens, begin, end});
  }
}

void Executor::run_step(const Step& step, const TokenSpan* tokens, Tap* tap) {
  if (const auto* products = std::get_if<ProductStep>(&step)) {
    run_products(products->products.data(), static_cast<int64_t>(products->products.size()), nullptr);
  } else if (const auto* quantize = std::get_if<QuantizeStep>(&step)) {
    run_quantize(*quantize);
  } else if (const auto* attention = std::get_if<AttentionStep>(&step)) {
    attention_.run(*tokens, pool_,
                   {.q = floats(attention->q),
                    .k = floats(attention->k),
                    .v = floats(attention->v),
                    .y = floats(attention->y),
                    .num_heads = attention->num_heads,
                    .head_dim = attention->head_dim,
                    .window = attention->window,
                    .scale = attention->scale,
                    .integer = attention->integer});
  } else if (const auto* norm = std::get_if<NormStep>(&step)) {
    run_norm(*norm);
  } else if (const auto* normalize = std::get_if<NormalizeStep>(&step)) {
    run_normalize(*normalize);
  } else if (any_wanted_) {
    const auto& tap_step = std::get<TapStep>(step);
    if (wanted_[static_cast<std::size_t>(tap_step.site)]) run_tap(tap_step, *tap);
  }
}

void Executor::run_quantize(const QuantizeStep& step) {
  const float* x = floats(step.x);
  const Codes to = codes(step.codes);
  const int64_t features = program_.slots[static_cast<std::size_t>(step.x)].features;
  const int64_t code_rows = (features + 3) / 4 * 4;
  pool_.parallel_for(shape_.num_panels(), [&](int64_t panel, int) {
    const int64_t token = panel * kPanelTokens;
    step.quantizer->run(quantize_, {.x = x + token * features,
                                    .multiplier = nullptr,
                                    .codes = to.codes + token * code_rows,
                                    .scale = to.scale + token,
                                    .zero_point = to.zero_point + token,
                                    .features = features,
                                    .width = shape_.width(panel),
                                    .largest = 0});
  });
}

// Tasks are (product, panel, chunk of outputs), chunks innermost: the panel of x stays in the second cache
// while the weights stream by. `target` replaces the product's own slot (taps).
void Executor::run_products(const Product* products, int64_t num_products, float* target) {
  const int64_t panels = shape_.num_panels();
  const auto out = [&](int64_t i) {
    return program_.linears[static_cast<std::size_t>(products[i].linear)].out;
  };
  int64_t all_outputs = 0;
  for (int64_t i = 0; i < num_products; ++i) all_outputs += out(i);
  int64_t chunk = kChunkOutputs;
  if (const int threads = pool_.num_threads(); threads > 1) {
    const int64_t share = all_outputs * panels / (threads * kTasksPerThread);
    chunk = std::clamp<int64_t>(share / gemm_f32::kOutputs * gemm_f32::kOutputs, gemm_f32::kOutputs, chunk);
  }
  int64_t num_tasks = 0;
  for (int64_t i = 0; i < num_products; ++i) num_tasks += panels * ((out(i) + chunk - 1) / chunk);
  pool_.parallel_for(num_tasks, [&](int64_t task, int) {
    int64_t i = 0, chunks = (out(0) + chunk - 1) / chunk;
    while (task >= panels * chunks) {
      task -= panels * chunks;
      ++i;
      chunks = (out(i) + chunk - 1) / chunk;
    }
    const int64_t n_begin = task % chunks * chunk;
    run_chunk(products[i], task / chunks, n_begin, std::min(out(i), n_begin + chunk), target);
  });
}

void Executor::run_chunk(const Product& product, int64_t panel, int64_t n_begin, int64_t n_end,
                         float* target) {
  const PackedLinear& linear = program_.linears[static_cast<std::size_t>(product.linear)];
  const int64_t token = panel * kPanelTokens;
  const int width = shape_.width(panel);
  float* y = (target != nullptr ? target : floats(product.y)) + token * linear.out;
  const bool activates = product.activation != Activation::kNone;
  const float* residual = product.residual >= 0 ? floats(product.residual) + token * linear.out : nullptr;
  const float* fused = activates || product.multiply >= 0 ? nullptr : residual;
  if (product.codes >= 0) {
    const Codes x = codes(product.codes);
    linear.run(x.codes + token * linear.code_rows(), x.scale + token, x.zero_point + token, fused, y, n_begin,
               n_end, width);
  } else {
    linear.run(floats(product.x) + token * linear.in, fused, y, n_begin, n_end, width);
  }
  float* first = y + n_begin * width;
  const int64_t size = (n_end - n_begin) * width;
  if (activates) pointwise_.apply(function_of(product.activation), first, size);
  if (product.multiply >= 0) {
    pointwise_.multiply(first, floats(product.multiply) + token * linear.out + n_begin * width, size);
  }
  if (residual != nullptr && fused == nullptr) pointwise_.add(first, residual + n_begin * width, size);
}

void Executor::run_norm(const NormStep& step) {
  const PackedNorm& norm = program_.norms[static_cast<std::size_t>(step.norm)];
  const float* x = floats(step.x);
  float* y = floats(step.y);
  pool_.parallel_for(shape_.num_panels(), [&](int64_t panel, int) {
    const int64_t offset = panel * kPanelTokens * norm.features;
    norm.run(x + offset, y + offset, shape_.width(panel));
  });
}

void Executor::run_normalize(const NormalizeStep& step) {
  const int64_t features = program_.slots[static_cast<std::size_t>(step.x)].features;
  pool_.parallel_for(shape_.num_panels(), [&](int64_t panel, int) {
    const int64_t offset = panel * kPanelTokens * features;
    normalize_l2(floats(step.x) + offset, floats(step.y) + offset, features, shape_.width(panel));
  });
}

void Executor::run_tap(const TapStep& step, Tap& tap) {
  const auto grow = [](AlignedBuffer<float>& buffer, int64_t size) {
    if (buffer.size() < static_cast<std::size_t>(size)) {
      buffer = AlignedBuffer<float>(static_cast<std::size_t>(size));
    }
  };
  const float* panels = nullptr;
  int64_t features = 0;
  if (step.is_product) {
    features = program_.linears[static_cast<std::size_t>(step.product.linear)].out;
    grow(tap_panels_, features * shape_.padded_tokens());
    run_products(&step.product, 1, tap_panels_.data());
    panels = tap_panels_.data();
  } else {
    features = program_.slots[static_cast<std::size_t>(step.x)].features;
    panels = floats(step.x);
  }
  grow(tap_rows_, features * shape_.num_tokens);
  panels_to_rows(panels, shape_, features, 0, shape_.num_tokens, tap_rows_.data());
  const Site& site = program_.sites[static_cast<std::size_t>(step.site)];
  tap.on(site.name, site.layer, tap_rows_.data(), shape_.num_tokens, features);
}

}  // namespace penjing
