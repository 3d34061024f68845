// tinybert: Algorithm 1 of TinyBERT (Jiao et al. 2020, section 3.3). Each word that is no stop word and has
// letters alone is replaced with probability p_t = `replace_probability` by one of its candidates, each as
// likely as the others:
//
//   a word of one piece    the K = `candidates` likeliest pieces where it is masked, those of them that are
//   words a word of several      the K words nearest by cosine in the model's own word embeddings (the mean
//   of its pieces'
//                          rows against the rows of whole words), where the paper has GloVe
//
// N_a = `variants` times (20), of a pair for each of its texts while the other stays as it is. Labels are the
// teacher's to give; rows keep their example's.
//
// Paper and released code (data_augmentation.py) differ: the paper masks in the text as it has become after
// the words before; the code, and this, in the original text, so that the candidates of a place are found
// once. The code also shows the model the unmasked text as a second segment: `context`. Deviations: words
// that are not replaced keep their case and the space around them; of a pair, the second text is changed
// beside the first text's original, where the code keeps the first text's last change.
#include <algorithm>
#include <map>
#include <numeric>

#include "augment/augmenter.h"
#include "augment/stop_words.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "compress/params.h"

namespace penjing::augment {

namespace {

struct Params {
  int64_t variants = 0, candidates = 15;
  double replace_probability = 0.4;
  std::string context = "text";

  template <class Visitor>
  void visit(Visitor& v) {
    v.integer("variants", variants, 0, 10000,
              "new rows an example, before duplicates are left out; 0: as the paper");
    v.integer("candidates", candidates, 1, 1000, "tinybert: for each word");
    v.number("replace_probability", replace_probability, 0, 1, "tinybert: of a word");
    v.choice("context", context, {"text", "pair"},
             "tinybert: what the model sees: the masked text (paper), or beside it the text itself (released "
             "code)");
  }
};

constexpr int64_t kPaperVariants = 20;
// Of one forward. Rows of logits are as wide as the vocabulary.
constexpr int64_t kBatchTokens = 4096, kBatchRows = 512;

// The `count` largest, falling; equal ones by index.
std::vector<int32_t> largest(std::span<const float> values, std::size_t count) {
  std::vector<std::pair<float, int32_t>> best;  // falling
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (best.size() == count && !(values[i] > best.back().first)) continue;
    if (best.size() == count) best.pop_back();
    const auto place =
        std::find_if(best.begin(), best.end(), [&](const auto& b) { return values[i] > b.first; });
    best.insert(place, {values[i], static_cast<int32_t>(i)});
  }
  std::vector<int32_t> indices;
  for (const auto& [value, index] : best) indices.push_back(index);
  return indices;
}

class TinyBert final : public Augmenter {
 public:
  TinyBert(const AugmentSource& source, const Params& params)
      : source_(source), params_(params), words_(whole_words(source.tokenizer)) {
    if (source.tokenizer.mask_id() < 0)
      fail(ErrorKind::kUnsupported, "tinybert: the tokenizer has no mask token");
    is_word_.resize(static_cast<std::size_t>(source.tokenizer.vocab_size()));
    for (const int32_t piece : words_) {
      is_word_[static_cast<std::size_t>(piece)] = 1;
      if (is_alphabetic(source.tokenizer.token(piece))) alphabetic_.push_back(piece);
    }
  }

  std::vector<Sides> rows(bool pairs) const override {
    const int64_t each = params_.variants > 0 ? params_.variants : kPaperVariants;
    std::vector<Sides> plan(static_cast<std::size_t>(each), Sides::kFirst);
    if (pairs) plan.insert(plan.end(), static_cast<std::size_t>(each), Sides::kSecond);
    return plan;
  }

  void prepare(std::span<const SplitText> texts) override {
    candidates_.clear();
    std::vector<Masked> masked;
    std::vector<Neighbour> neighbours;
    for (const SplitText& text : texts) {
      const auto [entry, is_new] = candidates_.try_emplace(text.text, text.words.size());
      if (!is_new) continue;
      for (std::size_t w = 0; w < text.words.size(); ++w) {
        if (!is_alphabetic(text.word(w)) || is_stop_word(text.word(w))) continue;
        std::vector<int32_t>* found = &entry->second[w];
        if (text.words[w].num_pieces == 1) {
          masked.push_back({&text, text.words[w].first_piece, found, {}});
        } else {
          neighbours.push_back({&text, w, found});
        }
      }
    }
    find_neighbours(neighbours);
    fill_masks(masked);
  }

  std::string change(const SplitText& text, Rng& rng) const override {
    const auto& candidates = candidates_.at(text.text);
    Replacements replacements(text.words.size());
    for (std::size_t w = 0; w < text.words.size(); ++w) {
      if (candidates[w].empty()) continue;
      const int32_t choice = candidates[w][rng.below(candidates[w].size())];
      const bool replaced = rng.uniform() < params_.replace_probability;
      const auto own = text.pieces_of(w);
      const bool same =
          own.size() == 1 && own[0] == choice;  // it keeps its case: a model may not see another
      if (replaced && !same) replacements[w] = std::string(source_.tokenizer.token(choice));
    }
    return replace_words(text, replacements);
  }

 private:
  // A place to be masked: piece `piece` of the text.
  struct Masked {
    const SplitText* text;
    std::size_t piece;
    std::vector<int32_t>* found;
    Encoding encoding;
    int64_t position = 0;
  };
  struct Neighbour {
    const SplitText* text;
    std::size_t word;
    std::vector<int32_t>* found;
  };

  void find_neighbours(const std::vector<Neighbour>& neighbours) {
    if (neighbours.empty()) return;
    if (table_ == nullptr)
      table_ = std::make_unique<WordTable>(source_.words, source_.tokenizer, source_.pool);
    std::vector<std::string> keys(neighbours.size());
    std::vector<std::size_t> asked;  // of each word that was not met before, the first
    for (std::size_t i = 0; i < neighbours.size(); ++i) {
      const auto pieces = neighbours[i].text->pieces_of(neighbours[i].word);
      keys[i].assign(reinterpret_cast<const char*>(pieces.data()), pieces.size_bytes());
      if (near_.try_emplace(keys[i]).second) asked.push_back(i);
    }
    source_.pool.parallel_for(static_cast<int64_t>(asked.size()), [&](int64_t a, int) {
      const std::size_t i = asked[static_cast<std::size_t>(a)];
      const auto direction = table_->direction(neighbours[i].text->pieces_of(neighbours[i].word));
      near_.at(keys[i]) =
          table_->nearest(direction, alphabetic_, static_cast<std::size_t>(params_.candidates));
    });
    for (std::size_t i = 0; i < neighbours.size(); ++i) *neighbours[i].found = near_.at(keys[i]);
  }

  // The text as the model reads it, and where its piece lies; false when the piece was cut off.
  bool encode(Masked& masked) const {
    EncodeOptions how;
    how.max_length = source_.max_length;
    const std::string& text = masked.text->text;
    masked.encoding = params_.context == "pair" ? source_.tokenizer.encode_pair(text, text, how)
                                                : source_.tokenizer.encode(text, how);
    std::size_t ordinary = 0;
    for (std::size_t i = 0; i < masked.encoding.ids.size(); ++i) {
      if (masked.encoding.special_mask[i] != 0 || masked.encoding.sequence[i] != 0) continue;
      if (ordinary++ != masked.piece) continue;
      masked.position = static_cast<int64_t>(i);
      masked.encoding.ids[i] = source_.tokenizer.mask_id();
      return true;
    }
    return false;
  }

  void fill_masks(std::vector<Masked>& masked) {
    std::vector<char> is_there(masked.size());
    source_.pool.parallel_for(static_cast<int64_t>(masked.size()), [&](int64_t i, int) {
      is_there[static_cast<std::size_t>(i)] = encode(masked[static_cast<std::size_t>(i)]) ? 1 : 0;
    });
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < masked.size(); ++i) {
      if (is_there[i] != 0) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return masked[a].encoding.ids.size() > masked[b].encoding.ids.size();
    });
    for (std::size_t at = 0; at < order.size();) {
      check_interrupt();
      RaggedBatch batch;
      std::vector<int64_t> positions;
      std::size_t end = at;
      for (; end < order.size() && static_cast<int64_t>(end - at) < kBatchRows; ++end) {
        const Masked& m = masked[order[end]];
        const auto length = static_cast<int64_t>(m.encoding.ids.size());
        if (end > at && batch.num_tokens() + length > kBatchTokens) break;
        positions.push_back(batch.num_tokens() + m.position);
        batch.append(m.encoding.ids, m.encoding.type_ids);
      }
      Request request;
      request.kind = OutputKind::kMaskedLogits;
      request.positions = positions;
      const Prediction logits = source_.masked_lm->predict(batch, request);
      source_.pool.parallel_for(logits.num_rows, [&](int64_t row, int) {
        for (const int32_t piece : largest(logits.row(row), static_cast<std::size_t>(params_.candidates))) {
          const auto p = static_cast<std::size_t>(piece);
          if (p < is_word_.size() && is_word_[p] != 0)
            masked[order[at + static_cast<std::size_t>(row)]].found->push_back(piece);
        }
      });
      at = end;
    }
  }

  AugmentSource source_;
  Params params_;
  std::vector<int32_t> words_, alphabetic_;           // pieces that are whole words
  std::vector<char> is_word_;                         // by piece
  std::unique_ptr<WordTable> table_;                  // made when a word of several pieces is met
  std::map<std::string, std::vector<int32_t>> near_;  // by the word's pieces
  std::map<std::string, std::vector<std::vector<int32_t>>> candidates_;  // by text: pieces, of each word
};

std::unique_ptr<Augmenter> make(const AugmentSource& source, const Json& params) {
  return std::make_unique<TinyBert>(source, read_params<Params>(params));
}

}  // namespace

extern const AugmentMethod tinybert_augment_method;
const AugmentMethod tinybert_augment_method = {
    "tinybert", "words that a masked language model puts in their place", true, list_params<Params>, make};

}  // namespace penjing::augment
