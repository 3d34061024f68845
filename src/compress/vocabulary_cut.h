#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"
#include "text/tokenizer.h"

namespace penjing {

// Which token ids a smaller vocabulary keeps: they are numbered anew in their old order.
struct VocabularyCut {
  std::vector<int64_t> kept;     // old ids, ascending: kept[new] = old
  std::vector<int32_t> new_ids;  // [old vocabulary]: new id, or -1
};
VocabularyCut make_cut(const std::vector<bool>& keeps);  // by old id

// Ids that a model cannot do without: the added tokens of its tokenizer (special ones among them), and those
// that config.json calls NAME_token_id.
void keep_required(const Model& model, const Tokenizer& tokenizer, std::vector<bool>& keeps);

// Takes the other ids' rows out of the embedding table and of the masked-LM head's projection and bias, with
// their scales where they are integers, and their names out of tokenizer.json, vocab.txt,
// tokenizer_config.json, added_tokens.json, config.json and generation_config.json; describes the model anew.
// kFormat: a file that does not say what the tokenizer says.
void cut_vocabulary(Model& model, const Tokenizer& tokenizer, const VocabularyCut& cut);

// The smaller vocabulary's tokenizer.json, whichever files the tokenizer came from.
Json cut_tokenizer_json(const Tokenizer& tokenizer, const VocabularyCut& cut);

// The tokenizer of the smaller vocabulary, without any file. `folder`: that of the larger one, for what
// tokenizer_config.json says of lengths.
std::shared_ptr<const Tokenizer> cut_tokenizer(const std::filesystem::path& folder,
                                               const Tokenizer& tokenizer, const VocabularyCut& cut);

}  // namespace penjing
