#include "runtime/program.h"

#include <algorithm>

#include "base/error.h"
#include "model/linear.h"
#include "model/relative_positions.h"
#include "runtime/stops.h"

namespace penjing {

int64_t Program::bytes_per_token() const {
  int64_t sum = 0;
  for (std::size_t i = 0; i < buffer_bytes.size(); ++i) sum += buffer_local[i] ? 0 : buffer_bytes[i];
  return sum;
}

SlotUse slots_of(const Step& step) {
  SlotUse use;
  const auto read = [&use](int slot) {
    if (slot >= 0) use.reads.push_back(slot);
  };
  const auto read_product = [&read](const Product& product) {
    read(product.converted >= 0 ? product.converted : product.x);
    read(product.residual);
    read(product.multiply);
  };
  if (const auto* convert = std::get_if<ConvertStep>(&step)) {
    read(convert->x);
    use.writes.push_back(convert->converted);
  } else if (const auto* products = std::get_if<ProductStep>(&step)) {
    for (const Product& product : products->products) {
      read_product(product);
      use.writes.push_back(product.y);
    }
  } else if (const auto* attention = std::get_if<AttentionStep>(&step)) {
    for (const int slot : {attention->q, attention->k, attention->v}) read(slot);
    use.writes.push_back(attention->y);
  } else if (const auto* recurrent = std::get_if<RecurrentStep>(&step)) {
    for (const int slot : {recurrent->x_forward, recurrent->x_backward}) read(slot);
    use.writes.push_back(recurrent->y);
  } else if (const auto* norm = std::get_if<NormStep>(&step)) {
    read(norm->x);
    use.writes.push_back(norm->y);
  } else if (const auto* normalize = std::get_if<NormalizeStep>(&step)) {
    read(normalize->x);
    use.writes.push_back(normalize->y);
  } else if (const auto* tap = std::get_if<TapStep>(&step)) {
    if (tap->is_product) {
      read_product(tap->product);
    } else {
      read(tap->x);
    }
  }
  return use;
}

namespace {

// A stop begins a segment.
std::vector<Segment> cut_segments(const Program& program) {
  std::vector<Segment> segments;
  std::vector<char> stops(program.steps.size());
  for (const Stop& stop : find_stops(program)) stops[static_cast<std::size_t>(stop.step)] = 1;
  for (int i = 0; i < static_cast<int>(program.steps.size()); ++i) {
    const Step& step = program.steps[static_cast<std::size_t>(i)];
    const bool mixes =
        std::holds_alternative<AttentionStep>(step) || std::holds_alternative<RecurrentStep>(step);
    if (segments.empty() || mixes || segments.back().mixes || stops[static_cast<std::size_t>(i)] != 0)
      segments.push_back({i, i, mixes});
    segments.back().end = i + 1;
  }
  return segments;
}

void mark_local_slots(Program& program) {
  std::vector<int> used_in(program.slots.size(), -1);
  for (Slot& slot : program.slots) slot.local = true;
  for (int s = 0; s < static_cast<int>(program.segments.size()); ++s) {
    const Segment& segment = program.segments[static_cast<std::size_t>(s)];
    for (int i = segment.begin; i < segment.end; ++i) {
      const SlotUse use = slots_of(program.steps[static_cast<std::size_t>(i)]);
      for (const auto* list : {&use.reads, &use.writes}) {
        for (const int slot : *list) {
          int& known = used_in[static_cast<std::size_t>(slot)];
          if (segment.mixes || (known >= 0 && known != s))
            program.slots[static_cast<std::size_t>(slot)].local = false;
          known = s;
        }
      }
    }
  }
  for (const int slot : {program.input, program.second_input, program.output}) {
    if (slot >= 0) program.slots[static_cast<std::size_t>(slot)].local = false;
  }
  for (const Stop& stop : find_stops(program)) program.slots[static_cast<std::size_t>(stop.x)].local = false;
}

}  // namespace

void assign_buffers(Program& program) {
  program.segments = cut_segments(program);
  mark_local_slots(program);
  const int num_steps = static_cast<int>(program.steps.size());
  // A panel may be at the last step of a segment while another is at its first: what is not local stays until
  // the segment ends.
  std::vector<int> last_read(program.slots.size(), -1);
  for (const Segment& segment : program.segments) {
    for (int i = segment.begin; i < segment.end; ++i) {
      const SlotUse use = slots_of(program.steps[static_cast<std::size_t>(i)]);
      for (const auto* list : {&use.writes, &use.reads}) {
        for (const int slot : *list) {
          const bool local = program.slots[static_cast<std::size_t>(slot)].local;
          if (local && list == &use.writes) continue;
          last_read[static_cast<std::size_t>(slot)] = local ? i : segment.end - 1;
        }
      }
    }
  }
  last_read[static_cast<std::size_t>(program.output)] = num_steps;

  std::vector<int> free_buffers;
  std::vector<int> alive;
  program.buffer_bytes.clear();
  program.buffer_local.clear();
  const auto allocate = [&](int index) {
    Slot& slot = program.slots[static_cast<std::size_t>(index)];
    if (slot.buffer >= 0) return;  // written in place
    const int64_t wanted = slot.bytes_per_token();
    // The smallest free buffer that is large enough, else the largest, which then grows.
    auto best = free_buffers.end();
    for (auto it = free_buffers.begin(); it != free_buffers.end(); ++it) {
      if ((program.buffer_local[static_cast<std::size_t>(*it)] != 0) != slot.local) continue;
      const int64_t bytes = program.buffer_bytes[static_cast<std::size_t>(*it)];
      if (best == free_buffers.end()) {
        best = it;
        continue;
      }
      const int64_t best_bytes = program.buffer_bytes[static_cast<std::size_t>(*best)];
      const bool fits = bytes >= wanted, best_fits = best_bytes >= wanted;
      if (fits ? (!best_fits || bytes < best_bytes) : (!best_fits && bytes > best_bytes)) best = it;
    }
    if (best == free_buffers.end()) {
      slot.buffer = static_cast<int>(program.buffer_bytes.size());
      program.buffer_bytes.push_back(wanted);
      program.buffer_local.push_back(slot.local ? 1 : 0);
    } else {
      slot.buffer = *best;
      free_buffers.erase(best);
      int64_t& bytes = program.buffer_bytes[static_cast<std::size_t>(slot.buffer)];
      bytes = std::max(bytes, wanted);
    }
    alive.push_back(index);
  };

  allocate(program.input);
  if (program.second_input >= 0) allocate(program.second_input);
  for (int i = 0; i < num_steps; ++i) {
    for (const int slot : slots_of(program.steps[static_cast<std::size_t>(i)]).writes) allocate(slot);
    // A slot that nobody reads is given back right after the step that wrote it.
    std::erase_if(alive, [&](int slot) {
      if (last_read[static_cast<std::size_t>(slot)] > i) return false;
      free_buffers.push_back(program.slots[static_cast<std::size_t>(slot)].buffer);
      return true;
    });
  }
}

int ProgramBuilder::add_slot(int64_t features, InputFormat format) {
  Slot slot;
  slot.features = features;
  slot.format = format;
  program_.slots.push_back(slot);
  return static_cast<int>(program_.slots.size()) - 1;
}

int ProgramBuilder::add_input(int64_t features) {
  return program_.input = add_slot(features);
}

int ProgramBuilder::add_second_input(int64_t features) {
  return program_.second_input = add_slot(features);
}

int ProgramBuilder::find_converted(int x, const std::shared_ptr<const InputConverter>& converter) {
  for (const Converted& known : converted_) {
    if (known.x == x && *known.converter == *converter) return known.slot;
  }
  const int slot = add_slot(features(x), converter->format);
  program_.steps.push_back(ConvertStep{x, slot, converter});
  converted_.push_back({x, slot, converter});
  return slot;
}

void ProgramBuilder::add_tap(const std::string& site, int x, int layer) {
  for (const Site& known : program_.sites) {
    if (known.name == site) return;  // a norm block is its norm's output already
  }
  program_.sites.push_back({site, layer});
  TapStep tap;
  tap.site = static_cast<int>(program_.sites.size()) - 1;
  tap.x = x;
  program_.steps.push_back(tap);
}

std::vector<int> ProgramBuilder::add_products(std::vector<ProductRequest> requests, int layer) {
  std::vector<int> outputs;
  ProductStep step;
  for (ProductRequest& request : requests) {
    const LinearSpec& spec = request.linear.spec;
    if (features(request.x) != spec.in) {
      fail(ErrorKind::kFormat, "{}: takes {} features, its input has {}", spec.name, spec.in,
           features(request.x));
    }
    for (const int other : {request.residual, request.multiply}) {
      if (other >= 0 && features(other) != spec.out) {
        fail(ErrorKind::kFormat, "{}: gives {} features, what is added to it has {}", spec.name, spec.out,
             features(other));
      }
    }
    add_tap(spec.name + ".in", request.x, layer);
    int x = request.x;
    std::vector<PackedLinear> packed = packer_.pack(request.linear);
    for (std::size_t i = 0; i < packed.size(); ++i) {
      const bool last = i + 1 == packed.size();
      Product product;
      product.x = x;
      if (packed[i].input != nullptr) product.converted = find_converted(x, packed[i].input);
      product.linear = static_cast<int>(program_.linears.size());
      const int64_t out = packed[i].out;
      program_.linears.push_back(std::move(packed[i]));
      if (last) {
        TapStep tap;
        tap.is_product = true;
        tap.product = product;
        program_.sites.push_back({spec.name + ".out", layer});
        tap.site = static_cast<int>(program_.sites.size()) - 1;
        program_.steps.push_back(tap);
        product.residual = request.residual;
        product.multiply = request.multiply;
        product.activation = request.activation;
      }
      product.y = x = add_slot(out);
      if (last) {
        outputs.push_back(product.y);
        step.products.push_back(product);
      } else {
        program_.steps.push_back(ProductStep{{product}});
      }
    }
  }
  program_.steps.push_back(std::move(step));
  return outputs;
}

int ProgramBuilder::add_product(ProductRequest request, int layer) {
  std::vector<ProductRequest> requests;
  requests.push_back(std::move(request));
  return add_products(std::move(requests), layer)[0];
}

int ProgramBuilder::add_norm(const NormSpec& spec, int x, bool in_place, int layer) {
  if (features(x) != spec.width) {
    fail(ErrorKind::kFormat, "{}: normalises {} features, its input has {}", spec.name, spec.width,
         features(x));
  }
  program_.norms.push_back(pack_norm(model_, spec));
  const int y = in_place ? x : add_slot(spec.width);
  program_.steps.push_back(NormStep{static_cast<int>(program_.norms.size()) - 1, x, y});
  add_tap(spec.name + ".out", y, layer);
  return y;
}

int ProgramBuilder::add_normalize(int x) {
  const int y = add_slot(features(x));
  program_.steps.push_back(NormalizeStep{x, y});
  return y;
}

bool ProgramBuilder::made_by_integers(std::initializer_list<int> slots) const {
  const auto made = [&](int slot) {
    for (const Step& step : program_.steps) {
      const auto* products = std::get_if<ProductStep>(&step);
      if (products == nullptr) continue;
      for (const Product& product : products->products) {
        if (product.y == slot) return program_.linears[static_cast<std::size_t>(product.linear)].integer();
      }
    }
    return false;
  };
  return std::all_of(slots.begin(), slots.end(), made);
}

int ProgramBuilder::find_bias(const AttentionSpec& spec) {
  for (std::size_t i = 0; i < program_.biases.size(); ++i) {
    const RelativeBias& known = program_.biases[i];
    if (same_positions(known.position, spec.position) && known.num_heads == spec.num_heads)
      return static_cast<int>(i);
  }
  RelativeBias bias;
  bias.position = spec.position;
  bias.num_heads = spec.num_heads;
  bias.reach = model_.description.max_positions;
  const auto heads = static_cast<std::size_t>(spec.num_heads);
  const EmbeddingTable table =
      resolve_embedding(model_.tensors, spec.position.name, spec.position.count, spec.num_heads);
  std::vector<float> rows(static_cast<std::size_t>(table.rows) * heads);
  for (int64_t row = 0; row < table.rows; ++row)
    table.read_row(row, {rows.data() + static_cast<std::size_t>(row) * heads, heads});
  bias.values.resize(heads * static_cast<std::size_t>(bias.stride()));
  for (int64_t i = 0; i < bias.stride(); ++i) {
    const int64_t bucket =
        relative_bucket(bias.reach - i, spec.position.num_buckets, spec.position.max_distance);
    for (std::size_t head = 0; head < heads; ++head)
      bias.values[head * static_cast<std::size_t>(bias.stride()) + static_cast<std::size_t>(i)] =
          rows[static_cast<std::size_t>(bucket) * heads + head];
  }
  program_.biases.push_back(std::move(bias));
  return static_cast<int>(program_.biases.size()) - 1;
}

int ProgramBuilder::add_attention(const AttentionSpec& spec, int q, int k, int v) {
  const int64_t width = spec.num_heads * spec.head_dim;
  for (const auto& [name, slot] : {std::pair(&spec.query, q), {&spec.key, k}, {&spec.value, v}}) {
    if (features(slot) != width) {
      fail(ErrorKind::kFormat, "{}: {} features where {} heads of {} are wanted", name->name, features(slot),
           spec.num_heads, spec.head_dim);
    }
  }
  const int y = add_slot(width);
  program_.steps.push_back(AttentionStep{q, k, v, y, spec.num_heads, spec.head_dim, spec.window, spec.scale,
                                         spec.integer && made_by_integers({q, k, v})});
  program_.max_head_dim = std::max(program_.max_head_dim, spec.head_dim);
  auto& step = std::get<AttentionStep>(program_.steps.back());
  if (spec.position.scheme == PositionScheme::kRelativeBuckets) step.bias = find_bias(spec);
  program_.adds_to_scores = program_.adds_to_scores || spec.window > 0 || step.bias >= 0;
  return y;
}

// Whatever the weight is stored as: its product is fed back token after token, and any rounding with it.
int ProgramBuilder::pack_floats(const LinearSpec& spec) {
  Linear linear = resolve_linear(model_, spec);
  if (linear.kind != LinearKind::kDense || linear.weight.type != DType::kF32) {
    linear.weight = Tensor::from_floats({spec.out, spec.in}, dense_weight(linear));
    linear.kind = LinearKind::kDense;
  }
  std::vector<PackedLinear> packed = packer_.pack(linear);
  if (packed.size() != 1 || packed[0].input != nullptr)
    fail(ErrorKind::kInternal, "{}: a recurrent product that does not read floats", spec.name);
  program_.linears.push_back(std::move(packed[0]));
  return static_cast<int>(program_.linears.size()) - 1;
}

int ProgramBuilder::add_recurrent(const RecurrentSpec& spec, int x_forward, int x_backward) {
  RecurrentStep step;
  step.x_forward = x_forward;
  step.x_backward = x_backward;
  step.forward = pack_floats(spec.forward_hidden);
  step.backward = pack_floats(spec.backward_hidden);
  step.size = spec.size;
  step.restarts = spec.restarts;
  step.y = add_slot(2 * spec.size);
  program_.steps.push_back(step);
  return step.y;
}

Program ProgramBuilder::finish(int output) {
  program_.output = output;
  check_stops(program_);
  assign_buffers(program_);
  return std::move(program_);
}

}  // namespace penjing
