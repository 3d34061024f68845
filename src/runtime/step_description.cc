#include "runtime/step_description.h"

#include <algorithm>
#include <vector>

namespace penjing {
namespace {

constexpr int64_t kFloatBytes = 4;

// "encoder.layer.3.attention.self.query.out" of layer 3 -> "attention.self.query".
std::string without_layer(const Site& site) {
  std::string name = site.name.substr(0, site.name.rfind('.'));
  const std::string number = "." + std::to_string(site.layer) + ".";
  if (const auto at = name.find(number); site.layer >= 0 && at != std::string::npos) {
    name.erase(0, at + number.size());
  }
  return name;
}

// "attention.self.query", "attention.self.key" -> "attention.self.query + key".
std::string join_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    const auto dot = name.rfind('.');
    const bool sibling =
        !text.empty() && dot != std::string::npos && names[0].starts_with(name.substr(0, dot + 1));
    text += (text.empty() ? "" : " + ") + (sibling ? name.substr(dot + 1) : name);
  }
  return text;
}

class Describer {
 public:
  explicit Describer(const StepEvent& event) : event_(event), program_(*event.program) {}

  StepDescription describe() {
    const Step& step = program_.steps[static_cast<std::size_t>(event_.step)];
    if (const auto* products = std::get_if<ProductStep>(&step)) {
      describe_products(*products);
    } else if (const auto* convert = std::get_if<ConvertStep>(&step)) {
      result_.kind = slot(convert->converted).format == InputFormat::kPairs ? "round" : "quantize";
      name_after_reader(convert->converted);
      result_.activation_bytes = slot_bytes(convert->x) + slot_bytes(convert->converted);
    } else if (const auto* attention = std::get_if<AttentionStep>(&step)) {
      describe_attention(*attention);
    } else if (const auto* recurrent = std::get_if<RecurrentStep>(&step)) {
      describe_recurrent(*recurrent);
    } else if (const auto* norm = std::get_if<NormStep>(&step)) {
      result_.kind = "norm";
      result_.operation = "norm";
      name_after_tap(norm->y);
      result_.weight_bytes = 2 * kFloatBytes * features(norm->x);
      result_.activation_bytes = slot_bytes(norm->x) + slot_bytes(norm->y);
    } else if (const auto* normalize = std::get_if<NormalizeStep>(&step)) {
      result_.kind = result_.operation = "normalize";
      result_.activation_bytes = slot_bytes(normalize->x) + slot_bytes(normalize->y);
    }
    return result_;
  }

 private:
  const Slot& slot(int index) const { return program_.slots[static_cast<std::size_t>(index)]; }
  int64_t features(int index) const { return slot(index).features; }
  int64_t slot_bytes(int index) const { return slot(index).bytes_per_token() * event_.num_tokens; }
  const Site& site(const TapStep& tap) const { return program_.sites[static_cast<std::size_t>(tap.site)]; }

  // The site of a product is that of the tap that sees its bare result; the first of a low-rank pair has none
  // and is named after the second.
  const Site* find_site(const Product& product) const {
    for (const Step& step : program_.steps) {
      const auto* tap = std::get_if<TapStep>(&step);
      if (tap != nullptr && tap->is_product && tap->product.linear == product.linear) return &site(*tap);
    }
    return nullptr;
  }

  void name_products(const ProductStep& step) {
    std::vector<std::string> names;
    for (const Product& product : step.products) {
      const Site* found = find_site(product);
      if (found == nullptr) continue;
      names.push_back(without_layer(*found));
      result_.layer = found->layer;
    }
    result_.operation = join_names(names);
    if (names.empty() && !step.products.empty()) {
      name_after_reader(step.products[0].y);
      result_.operation += " (inner)";
    }
  }

  // The next product step that reads the slot gives the name.
  void name_after_reader(int index) {
    for (std::size_t i = static_cast<std::size_t>(event_.step) + 1; i < program_.steps.size(); ++i) {
      const auto* reader = std::get_if<ProductStep>(&program_.steps[i]);
      if (reader == nullptr) continue;
      const auto reads = slots_of(program_.steps[i]).reads;
      const bool through_codes = std::any_of(reader->products.begin(), reader->products.end(),
                                             [&](const Product& p) { return p.x == index; });
      if (through_codes || std::find(reads.begin(), reads.end(), index) != reads.end()) {
        name_products(*reader);
        return;
      }
    }
  }

  void name_after_tap(int index) {
    const auto next = static_cast<std::size_t>(event_.step) + 1;
    if (next >= program_.steps.size()) return;
    const auto* tap = std::get_if<TapStep>(&program_.steps[next]);
    if (tap == nullptr || tap->is_product || tap->x != index) return;
    result_.operation = without_layer(site(*tap));
    result_.layer = site(*tap).layer;
  }

  void describe_products(const ProductStep& step) {
    result_.kind = "product";
    name_products(step);
    std::vector<int> inputs;  // a slot that several products read is counted once
    for (const Product& product : step.products) {
      const PackedLinear& linear = program_.linears[static_cast<std::size_t>(product.linear)];
      result_.arithmetic = linear.matrix->arithmetic();
      result_.sparse = result_.sparse || linear.matrix->sparse();
      result_.operations += 2 * linear.in * linear.out * event_.num_tokens;
      result_.weight_bytes +=
          static_cast<int64_t>(linear.matrix->bytes() + linear.bias.size() * sizeof(float));
      const int input = product.converted >= 0 ? product.converted : product.x;
      if (std::find(inputs.begin(), inputs.end(), input) == inputs.end()) inputs.push_back(input);
      result_.activation_bytes += slot_bytes(product.y);
      for (const int other : {product.residual, product.multiply}) {
        if (other >= 0) result_.activation_bytes += slot_bytes(other);
      }
    }
    for (const int input : inputs) result_.activation_bytes += slot_bytes(input);
  }

  void describe_recurrent(const RecurrentStep& step) {
    result_.kind = "recurrent";
    name_after_tap(step.y);
    result_.operation = "states";
    for (const int index : {step.forward, step.backward}) {
      const PackedLinear& linear = program_.linears[static_cast<std::size_t>(index)];
      result_.operations += 2 * linear.in * linear.out * event_.num_tokens;
      result_.weight_bytes += static_cast<int64_t>(linear.matrix->bytes());
    }
    result_.activation_bytes = slot_bytes(step.x_forward) + slot_bytes(step.x_backward) + slot_bytes(step.y);
  }

  // Q K^T and P V: 4 operations for each query, key and feature of a head; queries see all keys of their
  // sequence, or `window` to each side.
  void describe_attention(const AttentionStep& step) {
    result_.kind = "attention";
    result_.arithmetic = step.integer ? Arithmetic::kI8 : Arithmetic::kF32;
    name_after_reader(step.y);
    result_.operation = "scores, softmax, context";
    int64_t pairs = 0;
    for (int64_t i = 0; event_.tokens != nullptr && i < event_.tokens->num_sequences; ++i) {
      const int64_t length = event_.tokens->length(i);
      const int64_t keys = step.window > 0 ? std::min(length, 2 * step.window + 1) : length;
      pairs += length * keys;
    }
    result_.operations = 4 * pairs * step.num_heads * step.head_dim;
    result_.activation_bytes =
        slot_bytes(step.q) + slot_bytes(step.k) + slot_bytes(step.v) + slot_bytes(step.y);
  }

  const StepEvent& event_;
  const Program& program_;
  StepDescription result_;
};

}  // namespace

StepDescription describe_step(const StepEvent& event) {
  if (event.step >= 0) return Describer(event).describe();
  StepDescription result;
  switch (event.phase) {
    case StepEvent::Phase::kEmbedding:
      result.kind = result.operation = "embedding";
      // The word's row and the target; the two small tables stay in the caches. Quantized rows are smaller.
      result.activation_bytes = 2 * kFloatBytes * event.program->input_features() * event.num_tokens;
      if (const int added = event.program->second_input; added >= 0) {
        result.activation_bytes +=
            kFloatBytes * event.program->slots[static_cast<std::size_t>(added)].features * event.num_tokens;
      }
      break;
    case StepEvent::Phase::kHeadInput: {
      result.kind = result.operation = "pooling";
      const int64_t read = event.tokens != nullptr ? event.tokens->num_tokens() : event.num_tokens;
      result.activation_bytes = kFloatBytes * event.program->input_features() * (read + event.num_tokens);
      break;
    }
    default:
      result.kind = result.operation = "rows";
      result.activation_bytes = 2 * kFloatBytes * event.program->output_features() * event.num_tokens;
  }
  return result;
}

}  // namespace penjing
