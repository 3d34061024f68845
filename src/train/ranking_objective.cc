#include "train/ranking_objective.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "train/chunked_loss.h"
#include "train/forward_all.h"
#include "train/hard_negatives.h"
#include "train/losses.h"
#include "train/matryoshka.h"
#include "train/sentence_encoder.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

int64_t RankingData::number_of(const std::string& prompt, const std::string& text) {
  const auto [found, added] = numbers_.emplace(prompt + '\0' + text, static_cast<int64_t>(texts.size()));
  if (added) {
    texts.push_back(text);
    prompts.push_back(prompt);
  }
  return found->second;
}

void RankingData::add(const std::string& anchor, const std::string& positive,
                      const std::vector<std::string>& negatives) {
  std::vector<int64_t> example = {number_of_anchor(anchor), number_of(positive)};
  for (const std::string& negative : negatives) example.push_back(number_of(negative));
  right[example[0]].insert(example[1]);
  examples.push_back(std::move(example));
}

namespace {

struct RankingParams {
  RankingLoss loss = RankingLoss::kMultipleNegatives;
  double scale = 20, margin = 5;
  bool symmetric = false;
  Distance distance = Distance::kEuclidean;
  int64_t chunk_tokens = 4096;
  Matryoshka matryoshka;
  MiningSettings mining;
};

RankingParams read_params(ObjectiveParams& params, RankingLoss fallback, uint64_t seed) {
  RankingParams p;
  const std::string loss = fallback == RankingLoss::kTriplet
                               ? params.word("loss", {"triplet", "multiple-negatives"})
                               : params.word("loss", {"multiple-negatives", "triplet"});
  p.loss = loss == "triplet" ? RankingLoss::kTriplet : RankingLoss::kMultipleNegatives;
  if (p.loss == RankingLoss::kTriplet) {
    p.distance = params.word("distance", {"euclidean", "cosine"}) == "cosine" ? Distance::kCosine
                                                                              : Distance::kEuclidean;
    p.margin = params.number("margin", p.distance == Distance::kCosine ? 0.5 : 5, 0, 1e6);
  } else {
    p.scale = params.number("scale", 20, 1e-3, 1e4);
    p.symmetric = params.flag("symmetric", false);
  }
  p.chunk_tokens = params.integer("chunk_tokens", 4096, 1, 1 << 30);
  p.matryoshka = read_matryoshka(params.text("matryoshka", ""), params.text("matryoshka_weights", ""));
  p.mining.count = params.integer("hard_negatives", 0, 0, 1000);
  if (p.mining.count > 0) {
    p.mining.from = params.integer("negatives_from", 1, 1, 1 << 30);
    p.mining.to = params.integer("negatives_to", std::max<int64_t>(50, p.mining.from + p.mining.count - 1),
                                 p.mining.from, 1 << 30);
    p.mining.margin = params.number("negative_margin", -2, -2, 2);
  }
  p.mining.seed = seed;
  return p;
}

class Ranking final : public Objective {
 public:
  Ranking(const Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input, RankingData data,
          const RankingParams& params, std::function<TaskResult(const TaskModel&)> evaluate)
      : tokenizer_(tokenizer),
        input_(input),
        data_(std::move(data)),
        params_(params),
        evaluate_(std::move(evaluate)) {
    const TextExamples texts(tokenizer, *input.pool, data_.texts, {}, input.max_length, data_.prompts);
    truncated_ = texts.num_truncated();
    if (params_.mining.count > 0) mine(model, texts);
    for (const std::vector<int64_t>& example : data_.examples) {
      if (params_.loss == RankingLoss::kTriplet && example.size() < 3)
        fail(ErrorKind::kInput,
             "{}: the triplet loss needs a negative of each example: a column \"negative\", or the "
             "parameter hard_negatives",
             data_.file.string());
      for (const int64_t text : example) {
        numbers_.push_back(text);
        sequences_.push_back(texts[text]);
      }
      offsets_.push_back(sequences_.size());
    }
  }

  int64_t num_examples() const override { return static_cast<int64_t>(data_.examples.size()); }
  std::span<const Sequence> sequences(int64_t example) const override {
    const auto e = static_cast<std::size_t>(example);
    return {sequences_.data() + offsets_[e], offsets_[e + 1] - offsets_[e]};
  }
  // Which texts are one text, and which belong to the anchor: those are no negatives of it.
  std::string target(int64_t example) const override {
    std::string text;
    for (const int64_t number : data_.examples[static_cast<std::size_t>(example)])
      text += fmt::format("{} ", number);
    for (const int64_t number : data_.right.at(data_.examples[static_cast<std::size_t>(example)].front()))
      text += fmt::format("={} ", number);
    return text;
  }
  bool is_sum() const override { return params_.loss == RankingLoss::kTriplet; }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    // Anchors, then positives, then the negatives of all.
    std::vector<const Sequence*> sequences;
    std::vector<int64_t> samples, texts, owners;
    const auto n = static_cast<int64_t>(examples.size());
    std::size_t longest = 0;
    for (const int64_t e : examples) longest = std::max(longest, this->sequences(e).size());
    for (std::size_t column = 0; column < longest; ++column) {
      for (int64_t i = 0; i < n; ++i) {
        const std::span<const Sequence> own = this->sequences(examples[static_cast<std::size_t>(i)]);
        if (column >= own.size()) continue;
        const std::size_t at =
            offsets_[static_cast<std::size_t>(examples[static_cast<std::size_t>(i)])] + column;
        sequences.push_back(&sequences_[at]);
        samples.push_back(static_cast<int64_t>(at));
        texts.push_back(numbers_[at]);
        owners.push_back(i);
      }
    }
    return {embedding_loss(network, context, sequences, samples, params_.chunk_tokens,
                           at_dimensions(params_.matryoshka, has_unit_embeddings(*network.model),
                                         [&](const at::Tensor& rows) {
                                           return params_.loss == RankingLoss::kTriplet
                                                      ? triplets(rows, owners, n)
                                                      : negatives(rows, texts, n);
                                         })),
            {}};
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    return evaluate_(make_task_model(network, tokenizer_, context, input_.max_length, *input_.pool));
  }
  bool has_evaluation() const override { return !input_.eval_split.empty(); }

  std::string summary() const override {
    std::string text =
        fmt::format("{}: {} examples of {} distinct texts, {} anchors ({})\n{}\n", data_.file.string(),
                    num_examples(), data_.texts.size(), data_.right.size(), data_.reading,
                    describe_lengths(sequences_, truncated_, input_.max_length));
    if (params_.mining.count > 0) {
      text += fmt::format(
          "{} negatives mined from ranks {} to {} of {} texts; {} examples have fewer than {}\n", mined_,
          params_.mining.from, params_.mining.to, data_.corpus.size(), short_, params_.mining.count);
    }
    return text;
  }

  // The mined negatives decide the run: one that is resumed must find the same.
  Json state() const override { return Json::object({{"examples", digest()}}); }
  void restore(const Json& state) override {
    const Json* before = state.find("examples");
    if (before == nullptr || before->as_string("objective: examples") != digest())
      fail(ErrorKind::kInput,
           "{}: the examples (or the negatives mined for them) are not those of the run that is "
           "resumed",
           data_.file.string());
  }

 private:
  void mine(const Model& model, const TextExamples& texts) {
    Network network;
    network.model = &model;
    network.parameters = load_parameters(model);
    network.parameters.move_to(input_.device);
    network.encoder = std::make_unique<Encoder>(model.description, network.parameters);
    const std::unique_ptr<Arithmetic> arithmetic = make_arithmetic("fp32");
    ForwardContext context;
    context.arithmetic = arithmetic.get();
    std::vector<const Sequence*> all;
    for (int64_t i = 0; i < texts.size(); ++i) all.push_back(&texts[i]);
    const auto found =
        mine_negatives(data_, embed_all(network, context, all, kEvaluationTokens), params_.mining);
    for (std::size_t e = 0; e < found.size(); ++e) {
      data_.examples[e].insert(data_.examples[e].end(), found[e].begin(), found[e].end());
      mined_ += found[e].size();
      short_ += static_cast<int64_t>(found[e].size()) < params_.mining.count ? 1 : 0;
    }
    log_info("{} negatives mined for {} examples", mined_, found.size());
  }

  at::Tensor negatives(const at::Tensor& rows, const std::vector<int64_t>& texts, int64_t n) const {
    const int64_t candidates = rows.size(0) - n;
    at::Tensor excluded = at::zeros({n, candidates}, at::kBool);
    auto out = excluded.accessor<bool, 2>();
    for (int64_t i = 0; i < n; ++i) {
      const auto& right = data_.right.at(texts[static_cast<std::size_t>(i)]);
      for (int64_t j = 0; j < candidates; ++j)
        out[i][j] = i != j && right.contains(texts[static_cast<std::size_t>(n + j)]);
    }
    return multiple_negatives(rows.narrow(0, 0, n), rows.narrow(0, n, candidates),
                              {params_.scale, params_.symmetric, excluded.to(rows.device())});
  }

  // An example with several negatives has the mean of their losses.
  at::Tensor triplets(const at::Tensor& rows, const std::vector<int64_t>& owners, int64_t n) const {
    at::Tensor sum = at::zeros({}, rows.options());
    std::vector<int64_t> counts(static_cast<std::size_t>(n), 0);
    for (std::size_t r = static_cast<std::size_t>(2 * n); r < owners.size(); ++r)
      ++counts[static_cast<std::size_t>(owners[r])];
    std::map<int64_t, std::pair<std::vector<int64_t>, std::vector<int64_t>>> by_count;  // owners, rows
    for (std::size_t r = static_cast<std::size_t>(2 * n); r < owners.size(); ++r) {
      auto& [own, row] = by_count[counts[static_cast<std::size_t>(owners[r])]];
      own.push_back(owners[r]);
      row.push_back(static_cast<int64_t>(r));
    }
    for (const auto& [count, places] : by_count) {
      const at::Tensor own = at::tensor(places.first, at::kLong).to(rows.device());
      const at::Tensor row = at::tensor(places.second, at::kLong).to(rows.device());
      sum = sum + triplet(rows.index_select(0, own), rows.index_select(0, own + n), rows.index_select(0, row),
                          params_.distance, params_.margin) /
                      static_cast<double>(count);
    }
    return sum;
  }

  std::string digest() const { return sha256_hex(std::as_bytes(std::span<const int64_t>(numbers_))); }

  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  RankingData data_;
  RankingParams params_;
  std::function<TaskResult(const TaskModel&)> evaluate_;
  std::vector<Sequence> sequences_;  // of all examples, end to end
  std::vector<int64_t> numbers_;     // of the same, numbers of texts
  std::vector<std::size_t> offsets_{0};
  int64_t truncated_ = 0;
  std::size_t mined_ = 0;
  int64_t short_ = 0;
};

}  // namespace

std::unique_ptr<Objective> make_ranking_objective(Model& model, const Tokenizer& tokenizer,
                                                  const ObjectiveInput& input, RankingData data,
                                                  RankingLoss fallback,
                                                  std::function<TaskResult(const TaskModel&)> evaluate) {
  ObjectiveParams params(input.params);
  const RankingParams read = read_params(params, fallback, input.seed);
  make_sentence_encoder(model, params, input.max_length, input.seed);
  params.refuse_others();
  require_dimensions(read.matryoshka, embedding_width(model));
  if (data.corpus.empty()) {
    std::set<int64_t> positives;
    for (const auto& example : data.examples) positives.insert(example[1]);
    data.corpus.assign(positives.begin(), positives.end());
  }
  return std::make_unique<Ranking>(model, tokenizer, input, std::move(data), read, std::move(evaluate));
}

}  // namespace penjing::train
