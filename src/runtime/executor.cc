#include "runtime/executor.h"

#include <algorithm>

#include "runtime/panel_rows.h"

namespace penjing {
namespace {

// Outputs of one task: 48 x 64 tokens are 12 KiB, so that an activation that follows finds them in the first
// cache; any number where the kernel activates by itself. Fewer when there are too few tasks for the threads,
// in multiples of every tile of outputs of the kernels.
constexpr int64_t kChunkOutputs = 48, kActivatedChunkOutputs = 512, kChunkStep = 32;
constexpr int64_t kTasksPerThread = 4;

int64_t most_outputs(const PackedLinear& linear) {
  return linear.matrix->activates() ? kActivatedChunkOutputs : kChunkOutputs;
}

// Room after each buffer for a kernel that reads a register past the last row.
constexpr std::size_t kSlackBytes = 64;

pointwise::Function function_of(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return pointwise::Function::kNone;
    case Activation::kGelu:
      return pointwise::Function::kGelu;
    case Activation::kGeluTanh:
      return pointwise::Function::kGeluTanh;
    case Activation::kSilu:
      return pointwise::Function::kSilu;
    case Activation::kTanh:
      return pointwise::Function::kTanh;
    case Activation::kRelu:
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
      wanted_(program.sites.size()),
      stops_(find_stops(program)) {}

void Executor::reserve(int64_t num_tokens) {
  next_segment_ = 0;
  shape_ = {num_tokens};
  const int64_t padded = shape_.padded_tokens();
  if (padded > capacity_tokens_) {
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      if (program_.buffer_local[i]) continue;
      buffers_[i] = {};  // first, so that old and new are never held together
      buffers_[i] =
          AlignedBuffer<std::byte>(static_cast<std::size_t>(program_.buffer_bytes[i] * padded) + kSlackBytes);
    }
    capacity_tokens_ = padded;
  }
  reserve_local(std::min<int64_t>(shape_.num_panels(), pool_.num_threads()) * kPanelTokens);
}

void Executor::reserve_local(int64_t padded_tokens) {
  if (padded_tokens <= local_capacity_tokens_) return;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    if (!program_.buffer_local[i]) continue;
    buffers_[i] = {};
    buffers_[i] = AlignedBuffer<std::byte>(
        static_cast<std::size_t>(program_.buffer_bytes[i] * padded_tokens) + kSlackBytes);
  }
  local_capacity_tokens_ = padded_tokens;
}

// Panels lie one after the other, each 64 tokens but for the last. Places of local slots are as far apart as
// the largest slot of their buffer wants, because their threads are not at the same step.
std::byte* Executor::bytes(int index, Place place) {
  const Slot& slot = program_.slots[static_cast<std::size_t>(index)];
  const auto buffer = static_cast<std::size_t>(slot.buffer);
  const int64_t offset = slot.local && !any_wanted_ ? place.lane * program_.buffer_bytes[buffer]
                                                    : place.panel * slot.bytes_per_token();
  return buffers_[buffer].data() + kPanelTokens * offset;
}

// A panel's codes or pairs, then the scales of its tokens, then their zero points.
ConvertedInput Executor::converted(int index, Place place) {
  const Slot& slot = program_.slots[static_cast<std::size_t>(index)];
  std::byte* base = bytes(index, place);
  const int width = shape_.width(place.panel);
  std::byte* scale = base + slot.data_bytes_per_token() * width;
  return {base, reinterpret_cast<float*>(scale), reinterpret_cast<int32_t*>(scale + 4 * width)};
}

void Executor::run(const TokenSpan* tokens, Tap* tap) {
  any_wanted_ = false;
  if (tap != nullptr) {
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      wanted_[i] = !is_stop_site(program_.sites[i]) && tap->wants(program_.sites[i].name);
      any_wanted_ = any_wanted_ || wanted_[i];
    }
  }
  if (any_wanted_) reserve_local(shape_.num_panels() * kPanelTokens);
  run_segments(0, program_.segments.size(), tokens, tap);
}

void Executor::run_to(std::size_t stop, const TokenSpan& tokens) {
  any_wanted_ = false;
  std::size_t last = next_segment_;
  while (last < program_.segments.size() &&
         (stop == stops_.size() || program_.segments[last].begin < stops_[stop].step))
    ++last;
  run_segments(next_segment_, last, &tokens, nullptr);
  next_segment_ = last;
}

const float* Executor::at_stop(std::size_t stop) const {
  return const_cast<Executor*>(this)->floats(stops_[stop].x, {0, 0});
}

void Executor::keep(std::size_t stop, std::span<const int64_t> tokens) {
  const int slot = stops_[stop].x;
  const PanelShape shape{static_cast<int64_t>(tokens.size())};
  const auto size = static_cast<std::size_t>(shape.padded_tokens() * features(slot));
  if (kept_.size() < size) kept_ = AlignedBuffer<float>(size);
  // Not in place: a panel's features lie as far apart as it is wide, and the last panel grows narrower.
  pool_.parallel_for(shape.num_panels(), [&](int64_t panel, int) {
    const int64_t begin = panel * kPanelTokens;
    gather_tokens(floats(slot, {0, 0}), shape_, features(slot), tokens.data() + begin,
                  std::min<int64_t>(kPanelTokens, shape.num_tokens - begin),
                  kept_.data() + begin * features(slot));
  });
  std::copy_n(kept_.data(), size, floats(slot, {0, 0}));
  shape_ = shape;
}

void Executor::run_segments(std::size_t first, std::size_t last, const TokenSpan* tokens, Tap* tap) {
  if (tokens != nullptr && program_.max_head_dim > 0) {
    attention_.reserve(*tokens, pool_.num_threads(), program_.max_head_dim, program_.adds_to_scores);
  }
  for (std::size_t i = first; i < last; ++i) {
    const Segment& segment = program_.segments[i];
    const int64_t own_panels = segment.mixes || any_wanted_ ? 0 : panels_to_own();
    if (observer_ != nullptr) {
      observed_segment_ = &segment;
      observed_panels_ = own_panels;
      pieces_.assign(static_cast<std::size_t>((segment.end - segment.begin) * (own_panels + 1)), {});
    }
    if (segment.mixes) {
      const Step& step = program_.steps[static_cast<std::size_t>(segment.begin)];
      const auto* attention = std::get_if<AttentionStep>(&step);
      observe(segment.begin, own_panels, 0, [&] {
        attention != nullptr ? run_attention(*attention, *tokens)
                             : run_recurrent(std::get<RecurrentStep>(step), *tokens);
      });
    } else {
      run_segment(segment, own_panels, tap);
    }
    if (observer_ != nullptr) report(segment, tokens, own_panels);
  }
}

// A whole number of panels for every thread; the last one only where it is not much narrower than the others.
int64_t Executor::panels_to_own() const {
  const int64_t threads = pool_.num_threads(), panels = shape_.num_panels();
  if (threads == 1 || panels == 0) return panels;
  const int64_t even = panels - (shape_.width(panels - 1) < kPanelTokens * 3 / 4 ? 1 : 0);
  return even / threads * threads;
}

void Executor::run_segment(const Segment& segment, int64_t own_panels, Tap* tap) {
  pool_.parallel_for(own_panels, [&](int64_t panel, int thread) {
    for (int i = segment.begin; i < segment.end; ++i) {
      const Step& step = program_.steps[static_cast<std::size_t>(i)];
      if (std::holds_alternative<TapStep>(step)) continue;
      observe(i, panel, thread, [&] { run_on_panel(step, {panel, thread}); });
    }
  });
  if (own_panels == shape_.num_panels() && !any_wanted_) return;
  for (int i = segment.begin; i < segment.end; ++i) {
    const Step& step = program_.steps[static_cast<std::size_t>(i)];
    if (const auto* tap_step = std::get_if<TapStep>(&step)) {
      if (any_wanted_ && wanted_[static_cast<std::size_t>(tap_step->site)]) run_tap(*tap_step, *tap);
    } else {
      observe(i, own_panels, 0, [&] { run_together(step, own_panels); });
    }
  }
}

// Times body as the piece `piece` of a step of the present segment.
template <typename Body>
void Executor::observe(int step, int64_t piece, int thread, Body body) {
  if (observer_ == nullptr) return body();
  StepPiece& at =
      pieces_[static_cast<std::size_t>((step - observed_segment_->begin) * (observed_panels_ + 1) + piece)];
  at.thread = thread;
  at.begin = StepEvent::Clock::now();
  body();
  at.end = StepEvent::Clock::now();
}

void Executor::report(const Segment& segment, const TokenSpan* tokens, int64_t own_panels) {
  for (int i = segment.begin; i < segment.end; ++i) {
    if (std::holds_alternative<TapStep>(program_.steps[static_cast<std::size_t>(i)])) continue;
    std::span<const StepPiece> pieces(pieces_.data() + (i - segment.begin) * (own_panels + 1),
                                      static_cast<std::size_t>(own_panels + 1));
    StepEvent::Clock::duration own{}, together = pieces.back().end - pieces.back().begin;
    for (const StepPiece& piece : pieces.first(static_cast<std::size_t>(own_panels)))
      own += piece.end - piece.begin;
    if (together.count() == 0) pieces = pieces.first(static_cast<std::size_t>(own_panels));
    observer_->on_step(
        {phase_, &program_, i, shape_.num_tokens, tokens,
         own / std::min<int64_t>(pool_.num_threads(), std::max<int64_t>(own_panels, 1)) + together, pieces});
  }
}

void Executor::run_attention(const AttentionStep& step, const TokenSpan& tokens) {
  const RelativeBias* bias = step.bias >= 0 ? &program_.biases[static_cast<std::size_t>(step.bias)] : nullptr;
  attention_.run(tokens, pool_,
                 {.q = floats(step.q, {0, 0}),
                  .k = floats(step.k, {0, 0}),
                  .v = floats(step.v, {0, 0}),
                  .y = floats(step.y, {0, 0}),
                  .num_heads = step.num_heads,
                  .head_dim = step.head_dim,
                  .window = step.window,
                  .scale = step.scale,
                  .integer = step.integer,
                  .relative = bias != nullptr ? bias->values.data() + bias->reach : nullptr,
                  .relative_stride = bias != nullptr ? bias->stride() : 0});
}

void Executor::run_recurrent(const RecurrentStep& step, const TokenSpan& tokens) {
  const auto linear = [&](int index) { return &program_.linears[static_cast<std::size_t>(index)]; };
  recurrent_.run(tokens, pool_, pointwise_,
                 {.x = {floats(step.x_forward, {0, 0}), floats(step.x_backward, {0, 0})},
                  .hidden = {linear(step.forward), linear(step.backward)},
                  .y = floats(step.y, {0, 0}),
                  .size = step.size,
                  .restarts = step.restarts});
}

void Executor::run_on_panel(const Step& step, Place place) {
  const int width = shape_.width(place.panel);
  if (const auto* products = std::get_if<ProductStep>(&step)) {
    for (const Product& product : products->products) {
      const PackedLinear& linear = program_.linears[static_cast<std::size_t>(product.linear)];
      const int64_t chunk = most_outputs(linear);
      for (int64_t n = 0; n < linear.out; n += chunk) {
        run_chunk(product, place, n, std::min(linear.out, n + chunk), nullptr);
      }
    }
  } else if (const auto* convert = std::get_if<ConvertStep>(&step)) {
    const ConvertedInput to = converted(convert->converted, place);
    convert->converter->run(quantize_, {.x = floats(convert->x, place),
                                        .multiplier = nullptr,
                                        .codes = static_cast<uint8_t*>(to.data),
                                        .scale = to.scale,
                                        .zero_point = to.zero_point,
                                        .features = features(convert->x),
                                        .width = width,
                                        .largest = 0});
  } else if (const auto* norm = std::get_if<NormStep>(&step)) {
    program_.norms[static_cast<std::size_t>(norm->norm)].run(floats(norm->x, place), floats(norm->y, place),
                                                             width);
  } else if (const auto* normalize = std::get_if<NormalizeStep>(&step)) {
    normalize_l2(floats(normalize->x, place), floats(normalize->y, place), features(normalize->x), width);
  }
}

// All panels from `first`, the threads sharing the outputs of products.
void Executor::run_together(const Step& step, int64_t first) {
  if (const auto* products = std::get_if<ProductStep>(&step)) {
    run_products(products->products, first, nullptr);
    return;
  }
  pool_.parallel_for(shape_.num_panels() - first, [&](int64_t lane, int) {
    run_on_panel(step, {first + lane, lane});
  });
}

// Tasks are (product, panel, chunk of outputs), chunks innermost: the panel of x stays in the second cache
// while the weights stream by.
void Executor::run_products(std::span<const Product> products, int64_t first, float* target) {
  const int64_t panels = shape_.num_panels() - first;
  const auto linear = [&](std::size_t i) -> const PackedLinear& {
    return program_.linears[static_cast<std::size_t>(products[i].linear)];
  };
  const auto out = [&](std::size_t i) { return linear(i).out; };
  int64_t all_outputs = 0, chunk = kActivatedChunkOutputs;
  for (std::size_t i = 0; i < products.size(); ++i) {
    all_outputs += out(i);
    chunk = std::min(chunk, most_outputs(linear(i)));
  }
  if (const int threads = pool_.num_threads(); threads > 1) {
    const int64_t share = all_outputs * panels / (threads * kTasksPerThread);
    chunk = std::clamp<int64_t>(share / kChunkStep * kChunkStep, kChunkStep, chunk);
  }
  int64_t num_tasks = 0;
  for (std::size_t i = 0; i < products.size(); ++i) num_tasks += panels * ((out(i) + chunk - 1) / chunk);
  pool_.parallel_for(num_tasks, [&](int64_t task, int) {
    std::size_t i = 0;
    int64_t chunks = (out(0) + chunk - 1) / chunk;
    while (task >= panels * chunks) {
      task -= panels * chunks;
      ++i;
      chunks = (out(i) + chunk - 1) / chunk;
    }
    const int64_t lane = task / chunks, n_begin = task % chunks * chunk;
    run_chunk(products[i], {first + lane, lane}, n_begin, std::min(out(i), n_begin + chunk), target);
  });
}

void Executor::run_chunk(const Product& product, Place place, int64_t n_begin, int64_t n_end, float* target) {
  const PackedLinear& linear = program_.linears[static_cast<std::size_t>(product.linear)];
  const int width = shape_.width(place.panel);
  float* y = target != nullptr ? target + place.panel * kPanelTokens * linear.out : floats(product.y, place);
  const pointwise::Function function = function_of(product.activation);
  const bool activated = function == pointwise::Function::kNone || linear.matrix->activates();
  const float* residual = product.residual >= 0 ? floats(product.residual, place) : nullptr;
  PackedLinear::Work work{.residual = activated && product.multiply < 0 ? residual : nullptr,
                          .y = y,
                          .n_begin = n_begin,
                          .n_end = n_end,
                          .width = width,
                          .activation = activated ? function : pointwise::Function::kNone};
  if (product.converted >= 0) {
    linear.run(converted(product.converted, place), work);
  } else {
    linear.run(floats(product.x, place), work);
  }
  float* first = y + n_begin * width;
  const int64_t size = (n_end - n_begin) * width;
  if (!activated) pointwise_.apply(function, first, size);
  if (product.multiply >= 0)
    pointwise_.multiply(first, floats(product.multiply, place) + n_begin * width, size);
  if (residual != nullptr && work.residual == nullptr)
    pointwise_.add(first, residual + n_begin * width, size);
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
    run_products({&step.product, 1}, 0, tap_panels_.data());
    panels = tap_panels_.data();
  } else {
    features = this->features(step.x);
    panels = floats(step.x, {0, 0});
  }
  grow(tap_rows_, features * shape_.num_tokens);
  panels_to_rows(panels, shape_, features, 0, shape_.num_tokens, tap_rows_.data());
  const Site& site = program_.sites[static_cast<std::size_t>(step.site)];
  tap.on(site.name, site.layer, tap_rows_.data(), shape_.num_tokens, features);
}

}  // namespace penjing
