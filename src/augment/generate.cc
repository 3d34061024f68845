#include "augment/generate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "augment/word_table.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"

namespace penjing::augment {

namespace {

// Of one forward. Rows of logits are as wide as the vocabulary.
constexpr int64_t kBatchTokens = 4096, kBatchRows = 512;
// Texts made before the teacher is asked.
constexpr int64_t kRound = 64;
constexpr int64_t kTriesPerText = 50;

void shuffle(std::vector<std::size_t>& places, Rng& rng) {
  for (std::size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[rng.below(i)]);
}

// "[unused7]" and the like: no text has them.
bool is_placeholder(std::string_view token) {
  return token.size() > 2 && (token.front() == '[' || token.front() == '<') &&
         (token.back() == ']' || token.back() == '>');
}

}  // namespace

Speaker::Speaker(const Tokenizer& tokenizer, Predictor& masked_lm, ThreadPool& pool,
                 const SpeakerSettings& settings)
    : tokenizer_(tokenizer), masked_lm_(masked_lm), pool_(pool), settings_(settings) {
  if (!masked_lm.supports(OutputKind::kMaskedLogits))
    fail(ErrorKind::kUnsupported, "generate: the model has no head for masked words");
  if (tokenizer.mask_id() < 0) fail(ErrorKind::kUnsupported, "generate: the tokenizer has no mask token");
  const Encoding frame = tokenizer.encode("a");
  bool inside = false;
  for (std::size_t i = 0; i < frame.ids.size(); ++i) {
    inside = inside || frame.special_mask[i] == 0;
    if (frame.special_mask[i] != 0) (inside ? after_ : before_).push_back(frame.ids[i]);
  }
  const int64_t most = masked_lm.max_length() - static_cast<int64_t>(before_.size() + after_.size());
  if (settings.min_length < 1 || settings.max_length < settings.min_length || settings.max_length > most) {
    fail(ErrorKind::kInput, "generate: texts of {} to {} pieces; wanted 1 to {}", settings.min_length,
         settings.max_length, most);
  }
  for (const int32_t piece : whole_words(tokenizer)) {
    if (is_alphabetic(tokenizer.token(piece)) && tokenizer.token(piece).size() > 1) words_.push_back(piece);
  }
  if (settings.seed_words > 0 && words_.empty())
    fail(ErrorKind::kUnsupported, "generate: the vocabulary has no whole words to begin with");
  const std::string& continuing = tokenizer.continuing_prefix();
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view token = tokenizer.token(id);
    const bool allowed = !tokenizer.is_special(id) && id != tokenizer.unk_id() && id != tokenizer.mask_id() &&
                         !is_placeholder(token);
    allowed_.push_back(allowed ? 1 : 0);
    begins_.push_back(allowed && (continuing.empty() || !token.starts_with(continuing)) ? 1 : 0);
  }
}

Speaker::Draft Speaker::begin(int64_t number) const {
  Draft draft;
  draft.rng = Rng(settings_.seed, static_cast<uint64_t>(number));
  const auto range = static_cast<uint64_t>(settings_.max_length - settings_.min_length + 1);
  const auto length = static_cast<std::size_t>(settings_.min_length) + draft.rng.below(range);
  draft.ids = before_;
  for (std::size_t i = 0; i < length; ++i) {
    draft.free.push_back(draft.ids.size());
    draft.ids.push_back(tokenizer_.mask_id());
  }
  draft.ids.insert(draft.ids.end(), after_.begin(), after_.end());
  shuffle(draft.free, draft.rng);
  // One place at least is the model's.
  for (int64_t i = 0; i < settings_.seed_words && draft.free.size() > 1; ++i) {
    draft.ids[draft.free.back()] = words_[draft.rng.below(words_.size())];
    draft.free.pop_back();
  }
  return draft;
}

int32_t Speaker::draw(std::span<const float> logits, bool begins, Rng& rng) const {
  const std::vector<char>& may = begins ? begins_ : allowed_;
  const auto count = static_cast<std::size_t>(settings_.top_k);
  // The likeliest, a heap whose front is the least of them; equal ones by number.
  std::vector<std::pair<float, int32_t>> best;
  best.reserve(count + 1);
  const auto likelier = [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  for (std::size_t i = 0; i < may.size(); ++i) {
    if (may[i] == 0 || (best.size() == count && !(logits[i] > best.front().first))) continue;
    best.emplace_back(logits[i], static_cast<int32_t>(i));
    std::push_heap(best.begin(), best.end(), likelier);
    if (best.size() <= count) continue;
    std::pop_heap(best.begin(), best.end(), likelier);
    best.pop_back();
  }
  std::sort(best.begin(), best.end(), likelier);
  std::vector<double> sums;
  double sum = 0;
  for (const auto& [logit, piece] : best)
    sums.push_back(sum += std::exp((double{logit} - best.front().first) / settings_.temperature));
  const double at = rng.uniform() * sum;
  const auto chosen = std::upper_bound(sums.begin(), sums.end(), at) - sums.begin();
  return best[std::min(static_cast<std::size_t>(chosen), best.size() - 1)].second;
}

void Speaker::fill(std::vector<Draft>& drafts, std::size_t at) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    Draft& draft = drafts[i];
    draft.masked.clear();
    const std::size_t end = std::min(draft.free.size(), at + static_cast<std::size_t>(settings_.places));
    for (std::size_t p = at; p < end; ++p) {
      draft.masked.push_back(draft.free[p]);
      draft.ids[draft.free[p]] = tokenizer_.mask_id();
    }
    std::sort(draft.masked.begin(), draft.masked.end());
    if (!draft.masked.empty()) order.push_back(i);
  }
  for (std::size_t done = 0; done < order.size();) {
    check_interrupt();
    RaggedBatch batch;
    std::vector<int64_t> positions, rows = {0};
    std::size_t end = done;
    for (; end < order.size(); ++end) {
      const Draft& draft = drafts[order[end]];
      const auto length = static_cast<int64_t>(draft.ids.size());
      const auto wanted = static_cast<int64_t>(positions.size() + draft.masked.size());
      if (end > done && (batch.num_tokens() + length > kBatchTokens || wanted > kBatchRows)) break;
      for (const std::size_t place : draft.masked)
        positions.push_back(batch.num_tokens() + static_cast<int64_t>(place));
      rows.push_back(static_cast<int64_t>(positions.size()));
      batch.append(draft.ids);
    }
    Request request;
    request.kind = OutputKind::kMaskedLogits;
    request.positions = positions;
    const Prediction logits = masked_lm_.predict(batch, request);
    pool_.parallel_for(static_cast<int64_t>(end - done), [&](int64_t i, int) {
      Draft& draft = drafts[order[done + static_cast<std::size_t>(i)]];
      for (std::size_t m = 0; m < draft.masked.size(); ++m) {
        const std::size_t place = draft.masked[m];
        draft.ids[place] = draw(logits.row(rows[static_cast<std::size_t>(i)] + static_cast<int64_t>(m)),
                                place == before_.size(), draft.rng);
      }
    });
    done = end;
  }
}

std::vector<std::string> Speaker::speak(int64_t first, int64_t count) {
  std::vector<Draft> drafts;
  std::size_t longest = 0;
  for (int64_t n = 0; n < count; ++n) {
    drafts.push_back(begin(first + n));
    longest = std::max(longest, drafts.back().free.size());
  }
  for (int64_t sweep = 0; sweep <= settings_.sweeps; ++sweep) {
    for (Draft& draft : drafts) {
      if (sweep > 0) shuffle(draft.free, draft.rng);
    }
    for (std::size_t at = 0; at < longest; at += static_cast<std::size_t>(settings_.places)) fill(drafts, at);
  }
  std::vector<std::string> texts(drafts.size());
  for (std::size_t i = 0; i < drafts.size(); ++i) texts[i] = tokenizer_.decode(drafts[i].ids, true);
  return texts;
}

int64_t GenerateCounts::num_kept() const {
  int64_t sum = 0;
  for (const int64_t of_class : kept) sum += of_class;
  return sum;
}

GenerateCounts generate(Speaker& speaker, const Judge& judge, int64_t num_classes,
                        const GenerateSettings& settings, const Keep& keep) {
  GenerateCounts counts;
  counts.kept.resize(static_cast<std::size_t>(num_classes));
  std::vector<int64_t> room(counts.kept.size(), settings.count);
  for (int64_t c = 0; settings.balance && c < num_classes; ++c)
    room[static_cast<std::size_t>(c)] =
        settings.count / num_classes + (c < settings.count % num_classes ? 1 : 0);
  const int64_t most = settings.most_tries > 0 ? settings.most_tries : kTriesPerText * settings.count;
  std::set<std::string> known;
  Progress progress("generate", settings.count, "texts");
  while (counts.num_kept() < settings.count && counts.tried < most) {
    const int64_t round = std::min(kRound, 2 * (settings.count - counts.num_kept()));
    const std::vector<std::string> texts = speaker.speak(counts.tried, std::min(round, most - counts.tried));
    const std::vector<std::vector<float>> said = judge(texts);
    progress.set_note(fmt::format("of {} made", counts.tried + static_cast<int64_t>(texts.size())));
    for (std::size_t i = 0; i < texts.size() && counts.num_kept() < settings.count; ++i) {
      ++counts.tried;
      const std::vector<float>& logits = said[i];
      const auto label = std::max_element(logits.begin(), logits.end()) - logits.begin();
      double sum = 0;
      for (const float logit : logits)
        sum += std::exp(double{logit} - logits[static_cast<std::size_t>(label)]);
      if (1 / sum < settings.confidence) {
        ++counts.unsure;
      } else if (counts.kept[static_cast<std::size_t>(label)] == room[static_cast<std::size_t>(label)]) {
        ++counts.surplus;
      } else if (texts[i].empty() || !known.insert(texts[i]).second) {
        ++counts.repeated;
      } else {
        ++counts.kept[static_cast<std::size_t>(label)];
        keep(texts[i], label);
        progress.advance();
      }
    }
  }
  return counts;
}

}  // namespace penjing::augment
