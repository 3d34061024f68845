#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/model.h"

namespace penjing {

// A BERT by its sizes. Defaults are BERT-base's.
struct BertSizes {
  int64_t layers = 12, hidden = 768;
  int64_t heads = 0;         // 0: hidden / 64
  int64_t intermediate = 0;  // 0: 4 * hidden
  int64_t max_positions = 512, vocab_size = 30522;
};

// Its config.json: that of BertForMaskedLM. kInput for sizes out of range.
Json bert_config(const BertSizes& sizes);

// A fresh model of any family by its config.json: the encoder and the heads that `architectures` announces,
// initialised as below, with the deviation initializer_range. kFormat, kUnsupported as for any config.
Model new_model(const Json& config, uint64_t seed);

// A fresh BERT with its pooler and masked-LM head (tied to the word embeddings), initialised as BERT (Devlin
// et al. 2018): weights and tables from the normal distribution of deviation 0.02 cut off at two deviations,
// biases 0, norms 1 and 0. A tensor's values are a function of (seed, its name) alone. kInput for sizes out
// of range.
Model new_bert(const BertSizes& sizes, uint64_t seed);

// The 24 sizes of Well-Read Students (Turc et al. 2019): layers 2, 4, ... 12 by hidden sizes 128, 256, 512,
// 768. "L-4_H-256", or for five of them tiny, mini, small, medium, base.
struct NamedSize {
  std::string name;           // "L-4_H-256"
  std::string_view nickname;  // "mini"; empty for most
  BertSizes sizes;
};
std::span<const NamedSize> named_sizes();
BertSizes find_size(std::string_view name);  // kInput listing the names

// Gives the model the masked-LM head of its family where it has none: a dense layer drawn as in new_bert,
// norm and biases fresh, the projection tied to the word embeddings. A projection that is stored untied but
// equals the word embeddings is tied. Task heads and Sentence-Transformers modules, which further training of
// the encoder makes stale, are taken away; config.json names the class <Family>ForMaskedLM.
void give_masked_lm_head(Model& model, uint64_t seed);

// Normal numbers of the deviation, those beyond two deviations drawn again, from (seed, name).
Tensor draw_truncated_normal(Shape shape, double deviation, uint64_t seed, std::string_view name);

}  // namespace penjing
