#include "augment/augment.h"

#include <algorithm>
#include <set>

#include "base/interrupt.h"
#include "base/progress.h"

namespace penjing::augment {

namespace {

// Examples worked on together: their masked texts fill a batch of the model, and progress shows.
constexpr std::size_t kTogether = 64;

using Texts = std::pair<std::string, std::string>;

std::vector<Texts> rows_of(const SplitText& first, const SplitText* second, const Augmenter& augmenter,
                           const std::vector<Sides>& plan, Rng rng) {
  const auto unchanged = [&] { return Texts{first.text, second != nullptr ? second->text : ""}; };
  std::vector<Texts> rows = {unchanged()};
  std::set<Texts> seen = {rows.front()};
  for (const Sides sides : plan) {
    Texts row = unchanged();
    if (sides != Sides::kSecond) row.first = augmenter.change(first, rng);
    if (sides != Sides::kFirst) row.second = augmenter.change(*second, rng);
    if (seen.insert(row).second) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

AugmentCounts augment(const Dataset& data, const Tokenizer& tokenizer, Augmenter& augmenter, ThreadPool& pool,
                      uint64_t seed, const std::function<void(const Example&)>& write) {
  const std::vector<Sides> plan = augmenter.rows(data.pairs);
  const std::size_t sides = data.pairs ? 2 : 1, total = data.examples.size();
  // Texts 2 i and 2 i + 1, or i, are those of example i.
  std::vector<SplitText> texts;
  const auto split = [&](std::size_t begin, std::size_t end) {
    check_interrupt();
    texts.assign((end - begin) * sides, {});
    pool.parallel_for(static_cast<int64_t>(texts.size()), [&](int64_t t, int) {
      const Example& example = data.examples[begin + static_cast<std::size_t>(t) / sides];
      const bool second = data.pairs && t % 2 == 1;
      texts[static_cast<std::size_t>(t)] = split_text(tokenizer, second ? example.pair : example.text);
    });
  };
  for (std::size_t begin = 0; augmenter.wants_survey() && begin < total; begin += kTogether) {
    split(begin, std::min(begin + kTogether, total));
    augmenter.survey(texts);
  }
  augmenter.end_survey();

  AugmentCounts counts;
  Progress progress("augment", static_cast<int64_t>(total), "examples");
  for (std::size_t begin = 0; begin < total; begin += kTogether) {
    const std::size_t end = std::min(begin + kTogether, total);
    split(begin, end);
    augmenter.prepare(texts);
    std::vector<std::vector<Texts>> rows(end - begin);
    pool.parallel_for(static_cast<int64_t>(rows.size()), [&](int64_t i, int) {
      const SplitText* first = &texts[static_cast<std::size_t>(i) * sides];
      rows[static_cast<std::size_t>(i)] = rows_of(*first, data.pairs ? first + 1 : nullptr, augmenter, plan,
                                                  Rng(seed, begin + static_cast<std::size_t>(i)));
    });
    for (std::size_t i = 0; i < rows.size(); ++i) {
      Example example = data.examples[begin + i];
      for (const Texts& row : rows[i]) {
        std::tie(example.text, example.pair) = row;
        write(example);
      }
      counts.rows += static_cast<int64_t>(rows[i].size());
      counts.repeated += static_cast<int64_t>(plan.size() + 1 - rows[i].size());
    }
    counts.examples += static_cast<int64_t>(end - begin);
    progress.advance(static_cast<int64_t>(end - begin));
  }
  return counts;
}

}  // namespace penjing::augment
