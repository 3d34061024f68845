// bilstm: the three rules of Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple
// Neural Networks", section 3.3. For each word one draw X, uniform in [0, 1):
//
//   X < p_mask                     masked: [MASK]                               p_mask = `mask_probability`
//   X < p_mask + p_class           another word of its class, by its count      p_class = `class_probability`
//   else                           stays
//
// then with probability p_ng = `ngram_probability` of the whole text n words in a row are kept, n uniform
// from 1 to 5. 20 times a text; 10 times a pair, in turn the first text alone, the second alone, both. Rows
// keep their example's label; the paper has the teacher's logits.
//
// Deviation: the paper's classes are parts of speech from a tagger. There is none here: the words of the data
// are divided into `classes` groups (45, the tags of the Penn Treebank with punctuation) by spherical k-means
// of the model's own word embeddings (a word of several pieces is the mean of their rows), begun as
// k-means++. Such groups hold words of like form and like meaning; they are no parts of speech. Within a
// group a word is drawn as often as it occurs in the data, as in the paper.
#include <algorithm>
#include <cmath>
#include <map>

#include "augment/augmenter.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "compress/params.h"

namespace penjing::augment {

namespace {

struct Params {
  int64_t variants = 0, classes = 45;
  double mask_probability = 0.1, class_probability = 0.1, ngram_probability = 0.25;

  template <class Visitor>
  void visit(Visitor& v) {
    v.integer("variants", variants, 0, 10000,
              "new rows an example, before duplicates are left out; 0: as the paper");
    v.number("mask_probability", mask_probability, 0, 1, "bilstm: that a word becomes the mask token");
    v.number("class_probability", class_probability, 0, 1,
             "bilstm: that a word becomes another of its class");
    v.number("ngram_probability", ngram_probability, 0, 1,
             "bilstm: that 1 to 5 words in a row are all that is kept");
    v.integer("classes", classes, 1, 10000, "bilstm: groups of words, in the place of parts of speech");
  }
};

constexpr int64_t kPaperVariants = 20, kPaperPairVariants = 10;
constexpr uint64_t kMostWords = 5;
constexpr int kMostIterations = 50;

// Groups [count, width] directions of length 1 by the centre with the largest cosine; centres are the means
// of their groups, of length 1.
class SphericalKMeans {
 public:
  SphericalKMeans(const std::vector<float>& rows, int64_t width, int64_t num_groups, uint64_t seed,
                  ThreadPool& pool)
      : rows_(rows),
        width_(width),
        count_(static_cast<int64_t>(rows.size()) / width),
        groups_(static_cast<std::size_t>(count_), 0),
        pool_(pool) {
    choose_centres(std::min(num_groups, count_), seed);
    for (int i = 0; i < kMostIterations && assign(); ++i) {
      check_interrupt();
      update();
    }
  }
  const std::vector<int32_t>& groups() const { return groups_; }

 private:
  const float* row(int64_t i) const { return rows_.data() + i * width_; }
  int64_t num_centres() const { return static_cast<int64_t>(centres_.size()) / width_; }
  void add_centre(int64_t i) { centres_.insert(centres_.end(), row(i), row(i) + width_); }

  // k-means++ (Arthur and Vassilvitskii 2007): each next one with probability proportional to 1 - cosine to
  // the nearest.
  void choose_centres(int64_t wanted, uint64_t seed) {
    Rng rng(seed, 0x6b6d65616e73);  // no example has this number
    add_centre(static_cast<int64_t>(rng.below(static_cast<uint64_t>(count_))));
    std::vector<double> distance(static_cast<std::size_t>(count_), 2.0);
    while (num_centres() < wanted) {
      const float* last = centres_.data() + (num_centres() - 1) * width_;
      pool_.parallel_for(count_, [&](int64_t i, int) {
        double& d = distance[static_cast<std::size_t>(i)];
        d = std::min(d, std::max(0.0, 1.0 - double{dot(row(i), last, width_)}));
      });
      double total = 0;
      for (const double d : distance) total += d;
      if (total <= 0) return;  // fewer different words than groups
      double left = rng.uniform() * total;
      int64_t next = 0;
      for (; next + 1 < count_ && left >= distance[static_cast<std::size_t>(next)]; ++next)
        left -= distance[static_cast<std::size_t>(next)];
      add_centre(next);
    }
  }

  // True when a row changed its group, or at the start.
  bool assign() {
    std::vector<int32_t> before = groups_;
    pool_.parallel_for(count_, [&](int64_t i, int) {
      float best = -2;
      for (int64_t c = 0; c < num_centres(); ++c) {
        const float cosine = dot(row(i), centres_.data() + c * width_, width_);
        if (cosine > best) best = cosine, groups_[static_cast<std::size_t>(i)] = static_cast<int32_t>(c);
      }
    });
    const bool first = !assigned_;
    assigned_ = true;
    return first || before != groups_;
  }

  void update() {
    std::vector<float> sums(centres_.size(), 0.0f);
    for (int64_t i = 0; i < count_; ++i) {
      float* sum = sums.data() + groups_[static_cast<std::size_t>(i)] * width_;
      for (int64_t k = 0; k < width_; ++k) sum[k] += row(i)[k];
    }
    for (int64_t c = 0; c < num_centres(); ++c) {
      float* sum = sums.data() + c * width_;
      const float norm = std::sqrt(dot(sum, sum, width_));
      if (norm == 0) continue;  // an empty group keeps its centre
      for (int64_t k = 0; k < width_; ++k) centres_[static_cast<std::size_t>(c * width_ + k)] = sum[k] / norm;
    }
  }

  const std::vector<float>& rows_;
  int64_t width_, count_;
  std::vector<float> centres_;
  std::vector<int32_t> groups_;
  ThreadPool& pool_;
  bool assigned_ = false;
};

class BiLstmRules final : public Augmenter {
 public:
  BiLstmRules(const AugmentSource& source, const Params& params) : source_(source), params_(params) {
    if (params.mask_probability + params.class_probability > 1) {
      fail(ErrorKind::kInput, "mask_probability {} and class_probability {}: wanted a sum of at most 1",
           params.mask_probability, params.class_probability);
    }
    if (source.tokenizer.mask_id() < 0)
      fail(ErrorKind::kUnsupported, "bilstm: the tokenizer has no mask token");
    mask_ = source.tokenizer.token(source.tokenizer.mask_id());
  }

  std::vector<Sides> rows(bool pairs) const override {
    constexpr Sides kInTurn[] = {Sides::kFirst, Sides::kSecond, Sides::kBoth};
    const int64_t count = params_.variants > 0 ? params_.variants
                          : pairs              ? kPaperPairVariants
                                               : kPaperVariants;
    std::vector<Sides> plan;
    for (int64_t i = 0; i < count; ++i) plan.push_back(pairs ? kInTurn[i % 3] : Sides::kFirst);
    return plan;
  }

  bool wants_survey() const override { return params_.class_probability > 0; }

  void survey(std::span<const SplitText> texts) override {
    for (const SplitText& text : texts) {
      for (std::size_t w = 0; w < text.words.size(); ++w) {
        if (is_known(text.pieces_of(w))) ++counts_[key_of(text.pieces_of(w))];
      }
    }
  }

  void end_survey() override {
    if (counts_.empty()) return;
    const WordTable table(source_.words, source_.tokenizer, source_.pool);
    std::vector<float> rows;
    for (const auto& [key, count] : counts_) {
      const auto direction = table.direction(key);
      rows.insert(rows.end(), direction.begin(), direction.end());
    }
    const SphericalKMeans means(rows, table.width(), params_.classes, source_.seed, source_.pool);
    classes_.resize(static_cast<std::size_t>(params_.classes));
    std::size_t i = 0;
    for (const auto& [key, count] : counts_) {
      const int32_t group = means.groups()[i++];
      Class& members = classes_[static_cast<std::size_t>(group)];
      members.total += count;
      members.words.emplace_back(members.total, source_.tokenizer.decode(key, false));
      class_of_[key] = group;
    }
    const auto used =
        std::count_if(classes_.begin(), classes_.end(), [](const Class& c) { return c.total > 0; });
    log_info("{} different words in {} classes", counts_.size(), used);
  }

  std::string change(const SplitText& text, Rng& rng) const override {
    if (text.words.empty()) return text.text;
    Replacements replacements(text.words.size());
    for (std::size_t w = 0; w < text.words.size(); ++w) {
      const double x = rng.uniform();
      if (x < params_.mask_probability) {
        replacements[w] = mask_;
      } else if (x < params_.mask_probability + params_.class_probability) {
        const auto found = class_of_.find(key_of(text.pieces_of(w)));
        if (found != class_of_.end())
          replacements[w] = draw(classes_[static_cast<std::size_t>(found->second)], rng);
      }
    }
    if (rng.uniform() >= params_.ngram_probability) return replace_words(text, replacements);
    const std::size_t length = std::min<std::size_t>(1 + rng.below(kMostWords), text.words.size());
    const std::size_t first = rng.below(text.words.size() - length + 1);
    return replace_words(text, replacements, first, first + length);
  }

 private:
  struct Class {
    uint64_t total = 0;
    std::vector<std::pair<uint64_t, std::string>> words;  // the sum of counts up to and with it
  };

  static std::vector<int32_t> key_of(std::span<const int32_t> pieces) {
    return {pieces.begin(), pieces.end()};
  }
  // Words that the vocabulary can spell, and no token like [MASK] that stands in the text.
  bool is_known(std::span<const int32_t> pieces) const {
    return std::none_of(pieces.begin(), pieces.end(), [&](int32_t piece) {
      return piece == source_.tokenizer.unk_id() || source_.tokenizer.is_special(piece);
    });
  }
  static const std::string& draw(const Class& members, Rng& rng) {
    const uint64_t x = rng.below(members.total);
    return std::upper_bound(members.words.begin(), members.words.end(), x,
                            [](uint64_t value, const auto& word) { return value < word.first; })
        ->second;
  }

  AugmentSource source_;
  Params params_;
  std::string mask_;
  std::map<std::vector<int32_t>, uint64_t> counts_;  // of each word, by its pieces
  std::map<std::vector<int32_t>, int32_t> class_of_;
  std::vector<Class> classes_;
};

std::unique_ptr<Augmenter> make(const AugmentSource& source, const Json& params) {
  return std::make_unique<BiLstmRules>(source, read_params<Params>(params));
}

}  // namespace

extern const AugmentMethod bilstm_augment_method;
const AugmentMethod bilstm_augment_method = {
    "bilstm", "masked words, words of the same class, some words in a row", false, list_params<Params>, make};

}  // namespace penjing::augment
