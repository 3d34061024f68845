#include "train/parameters.h"

#include <cstring>
#include <set>

#include "base/error.h"
#include "model/block_parts.h"
#include "model/compression_config.h"
#include "model/linear.h"

namespace penjing::train {

const at::Tensor* Parameters::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &entries_[found->second].tensor;
}

const at::Tensor& Parameters::at(std::string_view name) const {
  const at::Tensor* tensor = find(name);
  if (tensor == nullptr) fail(ErrorKind::kFormat, "missing tensor {}", name);
  return *tensor;
}

at::Tensor Parameters::get_or_undefined(std::string_view name) const {
  const at::Tensor* tensor = find(name);
  return tensor == nullptr ? at::Tensor() : *tensor;
}

void Parameters::add(std::string name, at::Tensor tensor) {
  if (!index_.emplace(name, entries_.size()).second) fail(ErrorKind::kInternal, "two parameters {}", name);
  tensor = tensor.detach();
  tensor.set_requires_grad(true);
  entries_.push_back({std::move(name), std::move(tensor)});
}

void Parameters::add_alias(std::string name, std::string_view of) {
  const auto found = index_.find(std::string(of));
  if (found == index_.end()) fail(ErrorKind::kInternal, "no parameter {} for {}", of, name);
  if (!index_.emplace(name, found->second).second) fail(ErrorKind::kInternal, "two parameters {}", name);
}

void Parameters::tie(std::string_view name, const at::Tensor& tensor) {
  const auto found = index_.find(std::string(name));
  if (found == index_.end()) fail(ErrorKind::kFormat, "missing tensor {}", name);
  entries_[found->second].tensor = tensor;
}

void Parameters::share(std::string name, const at::Tensor& tensor) {
  if (!index_.emplace(name, entries_.size()).second) fail(ErrorKind::kInternal, "two parameters {}", name);
  entries_.push_back({std::move(name), tensor});
}

int64_t Parameters::num_elements() const {
  int64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.tensor.numel();
  return sum;
}

at::Device Parameters::device() const {
  return entries_.empty() ? at::Device(at::kCPU) : entries_.front().tensor.device();
}

void Parameters::move_to(at::Device device) {
  for (Entry& entry : entries_) {
    entry.tensor.mutable_grad() = at::Tensor();
    if (entry.tensor.device() == device) continue;
    const bool learns = entry.tensor.requires_grad();
    entry.tensor = entry.tensor.detach().to(device);
    entry.tensor.set_requires_grad(learns);
  }
}

void Parameters::zero_gradients() {
  for (Entry& entry : entries_) entry.tensor.mutable_grad() = at::Tensor();
}

at::Tensor to_torch(const Tensor& tensor, std::string_view name) {
  at::Tensor out = at::empty(tensor.shape, at::kFloat);
  read_floats(tensor, 0, {out.data_ptr<float>(), static_cast<std::size_t>(out.numel())}, name);
  return out;
}

Tensor from_torch(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
  DType type = DType::kF32;
  switch (flat.scalar_type()) {
    case at::kFloat:
      break;
    case at::kDouble:
      type = DType::kF64;
      break;
    case at::kLong:
      type = DType::kI64;
      break;
    case at::kInt:
      type = DType::kI32;
      break;
    case at::kByte:
      type = DType::kU8;
      break;
    case at::kBFloat16:
      type = DType::kBF16;
      break;
    default:
      fail(ErrorKind::kInternal, "no tensor type for {}", at::toString(flat.scalar_type()));
  }
  std::vector<std::byte> bytes(flat.nbytes());
  if (!bytes.empty()) std::memcpy(bytes.data(), flat.data_ptr(), bytes.size());
  return Tensor::from_bytes(type, flat.sizes().vec(), std::move(bytes));
}

namespace {

// Collects the names of the tensors that a description computes with.
class Walk {
 public:
  Walk(const Model& model, Parameters& out) : model_(model), out_(out) {}

  void walk() {
    const Description& d = model_.description;
    table(d.embedding.word, d.embedding.vocab_size, d.embedding.width);
    if (!d.embedding.token_type.empty()) {
      table(d.embedding.token_type, d.embedding.type_vocab_size, d.embedding.table_width());
    }
    if (!d.embedding.position.name.empty()) {
      table(d.embedding.position.name, d.embedding.position.count, d.embedding.table_width());
    }
    if (d.embedding.has_norm) norm(d.embedding.norm);
    if (d.embedding.has_projection) layer(d.embedding.projection);
    for (const Block& block : d.blocks) {
      for (const LinearSpec* spec : linears_of(block)) layer(*spec);
      if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
        const PositionSpec& position = attention->position;
        if (position.scheme == PositionScheme::kRelativeBuckets)
          table(position.name, position.count, attention->num_heads);
      }
      for (const NormSpec* spec : norms_of(block)) norm(*spec);
    }
    for (const HeadSpec& head : d.heads) {
      if (head.input == HeadInput::kAttended) {
        layer(head.attention);
        layer(head.attention_score);
      }
      if (head.has_dense) layer(head.dense);
      if (head.has_norm) norm(head.norm);
      if (!head.has_projection) continue;
      if (head.projection_rest.empty() && !head.tied_to_word_embeddings) {
        layer(head.projection, head.projection_bias);
        continue;
      }
      if (!head.tied_to_word_embeddings)
        table(head.projection.name, head.projection.out, projection_row_width(d, head));
      plain(head.projection_rest);
      plain(head.projection_bias);
    }
    for (const SentenceModule& module : model_.sentence.modules) {
      if (module.kind == SentenceModule::Kind::kDense) layer(module.dense);
    }
  }

 private:
  bool seen(const std::string& name) { return !seen_.insert(name).second; }
  void plain(const std::string& name) {
    if (name.empty() || seen(name)) return;
    const Tensor* tensor = model_.tensors.find(name);
    if (tensor != nullptr) out_.add(name, to_torch(*tensor, name));
  }
  void table(const std::string& name, int64_t rows, int64_t width) {
    if (seen(name)) return;
    const EmbeddingTable read = resolve_embedding(model_.tensors, name, rows, width);
    at::Tensor out = at::empty({rows, width}, at::kFloat);
    for (int64_t r = 0; r < rows; ++r) {
      read.read_row(r, {out.data_ptr<float>() + r * width, static_cast<std::size_t>(width)});
    }
    out_.add(name + ".weight", out);
  }
  void norm(const NormSpec& spec) {
    plain(spec.name + ".weight");
    if (spec.bias) plain(spec.name + ".bias");
  }
  void layer(const LinearSpec& spec, const std::string& bias_name = "") {
    if (seen(spec.name)) return;
    const Linear linear = resolve_linear(model_, spec);
    const std::string owner = linear.shared_with.empty() ? spec.name : linear.shared_with;
    if (owner == spec.name || !seen(owner)) {
      const std::vector<float> weight = dense_weight(linear);
      at::Tensor out = at::empty({spec.out, spec.in}, at::kFloat);
      std::copy(weight.begin(), weight.end(), out.data_ptr<float>());
      out_.add(owner + ".weight", out);
      if (owner != spec.name) plain(owner + ".bias");
    }
    if (owner != spec.name) {
      out_.add_alias(spec.name + ".weight", owner + ".weight");
      if (spec.bias) out_.add_alias(spec.name + ".bias", owner + ".bias");
      return;
    }
    plain(bias_name.empty() ? spec.name + ".bias" : bias_name);
  }

  const Model& model_;
  Parameters& out_;
  std::set<std::string> seen_;
};

}  // namespace

Parameters load_parameters(const Model& model) {
  Parameters parameters;
  Walk(model, parameters).walk();
  return parameters;
}

void store_parameters(const Parameters& parameters, Model& model) {
  for (const Parameters::Entry& entry : parameters) {
    if (entry.name.starts_with(kAside)) continue;
    model.tensors.set(entry.name, from_torch(entry.tensor));
    if (!entry.name.ends_with(".weight")) continue;
    // What else says the weight in another form, now stale.
    const std::string base = entry.name.substr(0, entry.name.size() - std::string_view(".weight").size());
    for (const char* part : {".weight_scale", ".weight_zero_point", ".weight_left", ".weight_right",
                             ".smooth", ".input_scale", ".input_zero_point"}) {
      model.tensors.erase(base + part);
    }
  }
  model.config.erase("quantization_config");
  if (find_compression(model.config, "attention") != nullptr) use_float_attention(model);
  for (const char* key : {"dtype", "torch_dtype", "embedding_dtype"}) {
    if (model.config.contains(key)) model.config.set(key, "float32");
  }
}

}  // namespace penjing::train
