#include "distill/answers.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "distill/sequence_numerics.h"
#include "distill/top_logits.h"
#include "io/safetensors.h"

namespace penjing::distill {

namespace {

constexpr std::pair<unsigned, const char*> kOfLayers[] = {{kRows, "states"},   {kFirst, "first"},
                                                          {kQuery, "queries"}, {kKey, "keys"},
                                                          {kValue, "values"},  {kScores, "scores"}};

// What has to be there for a need of a layer: probabilities are made of scores, first tokens are among all.
unsigned stored_as(unsigned needs) {
  if ((needs & kAttention) != 0) needs |= kScores;
  if ((needs & kRows) != 0) needs &= ~static_cast<unsigned>(kFirst);
  return needs & kLayered & ~static_cast<unsigned>(kAttention);
}

at::Tensor tensor_of(unsigned need, const LayerOutputs& layer) {
  switch (need) {
    case kQuery:
      return layer.query;
    case kKey:
      return layer.key;
    case kValue:
      return layer.value;
    default:
      return layer.rows;
  }
}

}  // namespace

std::string AnswerPart::name() const {
  if (need == kLogits) return "logits";
  if (need == kEmbeddings) return "embeddings";
  for (const auto& [known, word] : kOfLayers) {
    if (known == need) return fmt::format("layer.{}.{}", layer, word);
  }
  fail(ErrorKind::kInternal, "no name for the need {}", need);
}

std::vector<AnswerPart> answer_parts(const Plan& plan) {
  unsigned whole = 0;
  std::vector<unsigned> layers;
  const auto reads = [&](int64_t layer, unsigned needs) {
    layers.resize(std::max(layers.size(), static_cast<std::size_t>(layer) + 1));
    layers[static_cast<std::size_t>(layer)] |= needs;
  };
  for (const LossTerm& term : plan.terms) {
    whole |= term.needs & (kLogits | kTokenLogits | kEmbeddings);
    for (const LayerPair& pair : term.layers.pairs) reads(pair.teacher, term.needs);
    for (const int64_t layer : term.layers.teacher) reads(layer, term.needs);
  }
  if ((whole & kTokenLogits) != 0) return {};
  std::vector<AnswerPart> parts;
  for (const unsigned need : {kLogits, kEmbeddings}) {
    if ((whole & need) != 0) parts.push_back({need, 0});
  }
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    for (const auto& [need, word] : kOfLayers) {
      if ((stored_as(layers[layer]) & need) != 0) parts.push_back({need, static_cast<int64_t>(layer)});
    }
  }
  return parts;
}

OutputNeeds needs_of(std::span<const AnswerPart> parts) {
  OutputNeeds needs;
  std::vector<unsigned> layers;
  for (const AnswerPart& part : parts) {
    if ((part.need & kLayered) == 0) {
      needs.whole |= part.need;
      continue;
    }
    layers.resize(std::max(layers.size(), static_cast<std::size_t>(part.layer) + 1));
    layers[static_cast<std::size_t>(part.layer)] |= part.need;
  }
  needs.layers = [layers](int64_t layer) {
    return layer < static_cast<int64_t>(layers.size()) ? layers[static_cast<std::size_t>(layer)] : 0u;
  };
  return needs;
}

at::Tensor rows_of(const AnswerPart& part, const Outputs& outputs, std::span<const int64_t> offsets) {
  if (part.need == kLogits) return outputs.logits;
  if (part.need == kEmbeddings) return outputs.embeddings;
  const LayerOutputs& layer = outputs.layers.at(static_cast<std::size_t>(part.layer));
  if (part.need == kFirst) return first_rows(layer.rows, offsets);
  if (part.need != kScores) return tensor_of(part.need, layer);
  std::vector<at::Tensor> flat;
  for (const at::Tensor& scores : layer.scores) flat.push_back(scores.reshape(-1));
  return at::cat(flat);
}

Answers::Answers(const train::Objective& task, int64_t shortened_classes)
    : first_sequence_{0}, tokens_{0}, squares_{0}, shortened_classes_(shortened_classes) {
  for (int64_t i = 0; i < task.num_examples(); ++i) {
    for (const train::Sequence& sequence : task.sequences(i)) {
      const auto length = static_cast<int64_t>(sequence.ids.size());
      tokens_.push_back(tokens_.back() + length);
      squares_.push_back(squares_.back() + length * length);
    }
    first_sequence_.push_back(static_cast<int64_t>(tokens_.size()) - 1);
  }
}

int64_t Answers::num_rows(const AnswerPart& part, int64_t examples) const {
  const int64_t sequences = first_sequence_[static_cast<std::size_t>(examples)];
  switch (part.need) {
    case kLogits:
    case kEmbeddings:
      return examples;
    case kFirst:
      return sequences;
    case kScores:
      return squares_[static_cast<std::size_t>(sequences)];
    default:
      return tokens_[static_cast<std::size_t>(sequences)];
  }
}

bool Answers::fits(const AnswerPart& part, const at::Tensor& rows) const {
  const int64_t wanted = num_rows(part, num_examples());
  if (part.need != kScores) return rows.dim() == 2 && rows.size(0) == wanted;
  return rows.dim() == 1 && wanted > 0 && rows.size(0) % wanted == 0;
}

void Answers::set(const AnswerPart& part, at::Tensor rows) {
  if (!fits(part, rows)) {
    fail(ErrorKind::kInternal, "answers {}: {} rows for {} examples", part.name(), rows.size(0),
         num_examples());
  }
  parts_.push_back({part, std::move(rows)});
}

const at::Tensor* Answers::find(unsigned need, int64_t layer) const {
  const auto found = std::find_if(parts_.begin(), parts_.end(), [&](const Stored& stored) {
    return stored.part == AnswerPart{need, layer};
  });
  return found == parts_.end() ? nullptr : &found->rows;
}

Outputs Answers::read(const OutputNeeds& needs, std::span<const int64_t> num_heads,
                      std::span<const int64_t> examples, at::Device device) const {
  std::vector<int64_t> sequences, tokens;
  for (const int64_t example : examples) {
    const auto i = static_cast<std::size_t>(example);
    for (int64_t s = first_sequence_[i]; s < first_sequence_[i + 1]; ++s) {
      const auto at = static_cast<std::size_t>(s);
      sequences.push_back(s);
      for (int64_t t = tokens_[at]; t < tokens_[at + 1]; ++t) tokens.push_back(t);
    }
  }
  const auto pick = [&](const at::Tensor* rows, std::span<const int64_t> numbers) {
    if (rows == nullptr) return at::Tensor();
    const at::Tensor index = at::tensor(at::ArrayRef<int64_t>(numbers.data(), numbers.size()), at::kLong);
    return rows->index_select(0, index).to(device);
  };
  Outputs out;
  if ((needs.whole & kLogits) != 0) out.logits = pick(find(kLogits, 0), examples);
  if (out.logits.defined() && shortened_classes_ > 0)
    out.logits = restore_logits(out.logits, shortened_classes_);
  if ((needs.whole & kEmbeddings) != 0) out.embeddings = pick(find(kEmbeddings, 0), examples);
  out.layers.resize(num_heads.size() + 1);
  for (std::size_t m = 0; m < out.layers.size(); ++m) {
    const auto number = static_cast<int64_t>(m);
    const unsigned wanted = needs.layers(number);
    LayerOutputs& layer = out.layers[m];
    if (m > 0) layer.num_heads = num_heads[m - 1];
    if ((wanted & kStates) != 0) layer.rows = pick(find(kRows, number), tokens);
    if ((wanted & kFirst) != 0 && !layer.rows.defined()) layer.first = pick(find(kFirst, number), sequences);
    if ((wanted & kQuery) != 0) layer.query = pick(find(kQuery, number), tokens);
    if ((wanted & kKey) != 0) layer.key = pick(find(kKey, number), tokens);
    if ((wanted & kValue) != 0) layer.value = pick(find(kValue, number), tokens);
    const at::Tensor* scores = find(kScores, number);
    if ((wanted & (kScores | kAttention)) == 0 || scores == nullptr) continue;
    const int64_t heads = scores->size(0) / squares_.back();
    for (const int64_t s : sequences) {
      const auto at = static_cast<std::size_t>(s);
      const int64_t length = tokens_[at + 1] - tokens_[at];
      layer.scores.push_back(scores->slice(0, heads * squares_[at], heads * squares_[at + 1])
                                 .view({heads, length, length})
                                 .to(device));
    }
  }
  return out;
}

at::Tensor read_answers(const std::filesystem::path& file) {
  const Safetensors stored = read_safetensors(file);
  const Tensor* answers = stored.tensors.find(kAnswers);
  if (answers == nullptr || (answers->type != DType::kF32 && answers->type != DType::kBF16)) {
    fail(ErrorKind::kFormat, "{}: wanted a tensor \"{}\" of F32 or BF16", file.string(), kAnswers);
  }
  // The map outlives every view of it.
  const std::shared_ptr<const void> owner = answers->owner;
  return at::from_blob(
      const_cast<std::byte*>(answers->bytes.data()), answers->shape, [owner](void*) {},
      at::dtype(answers->type == DType::kF32 ? at::kFloat : at::kBFloat16));
}

}  // namespace penjing::distill
