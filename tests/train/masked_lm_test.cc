#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/rng.h"
#include "base/thread_pool.h"
#include "data/text_stream.h"
#include "model/new_model.h"
#include "tests/base/test_folder.h"
#include "train/loop.h"
#include "train/masked_lm_loss.h"
#include "train/masking.h"
#include "train/objective.h"
#include "train/text_examples.h"

namespace penjing::train {
namespace {

constexpr int kWords = 60;

// Three files of documents in which every word is followed by the next one or the one after.
class MaskedLm : public ::testing::Test {
 protected:
  TestFolder folder_{std::string("masked-lm-") +
                     ::testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::shared_ptr<const Tokenizer> tokenizer_;
  ThreadPool pool_{1};

  void SetUp() override {
    std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\n";
    for (int i = 0; i < kWords; ++i) words += fmt::format("w{}\n", i);
    write_bytes(folder_ / "tokenizer" / "vocab.txt", words);
    write_bytes(folder_ / "tokenizer" / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
    tokenizer_ = Tokenizer::load(folder_ / "tokenizer");
    Rng rng(11);
    for (int file = 0; file < 3; ++file) {
      std::string text;
      for (int document = 0; document < 40; ++document) {
        uint64_t word = rng.below(kWords);
        for (uint64_t i = 0, n = 20 + rng.below(60); i < n; ++i) {
          text += fmt::format("w{}{} ", word, rng.below(9) == 0 ? "." : "");
          word = (word + 1 + rng.below(2)) % kWords;
        }
        text += "\n\n";
      }
      write_bytes(folder_ / "texts" / fmt::format("{}.txt", file), text);
    }
  }

  Model fresh() const {
    BertSizes sizes;
    sizes.layers = 2;
    sizes.hidden = 32;
    sizes.heads = 2;
    sizes.max_positions = 64;
    sizes.vocab_size = tokenizer_->vocab_size();
    return new_bert(sizes, 5);
  }

  std::unique_ptr<Objective> objective(Model& model, uint64_t seed = 1) {
    ObjectiveInput input;
    input.data.data = folder_ / "texts";
    input.max_length = 24;
    input.seed = seed;
    input.pool = &pool_;
    input.params.set("hold_back", 10);
    input.params.set("shuffle_size", 64);
    return find_objective("masked-lm")->make(model, *tokenizer_, input);
  }

  static Network network_of(const Model& model) {
    Network network;
    network.model = &model;
    network.parameters = load_parameters(model);
    network.encoder = std::make_unique<Encoder>(model.description, network.parameters);
    return network;
  }
};

ForwardContext quiet(Arithmetic& arithmetic) {
  ForwardContext context;
  context.arithmetic = &arithmetic;
  return context;
}

TEST_F(MaskedLm, LossIsTheCrossEntropyOfWhatWasMasked) {
  Model model = fresh();
  const auto texts = objective(model);
  const Network network = network_of(model);
  const auto arithmetic = make_arithmetic("fp32");
  Batches::Settings size;
  size.batch_tokens = 200;
  const std::vector<int64_t> examples = texts->next_examples(size);
  const double loss = texts->loss(network, quiet(*arithmetic), examples, 0).sum.item<double>();

  // Token by token: where the sequence differs from the text is not told, so that the truth comes from
  // another stream over the same files.
  TextStreamOptions options;
  const std::filesystem::path paths[] = {folder_ / "texts"};
  options.files = find_text_files(paths);
  options.max_length = 24;
  options.hold_back = 10;
  options.shuffle_size = 64;
  TextStream stream(*tokenizer_, options);
  const Masking masking(*tokenizer_, {});
  double expected = 0, weight = 0;
  int64_t tokens = 0;
  for (const int64_t example : examples) {
    const TextStream::Sample sample = stream.next();
    ASSERT_EQ(sample.number, example);
    const MaskedSequence masks = masking.mask(sample.ids, sample.number);
    const Sequence& given = texts->sequences(example)[0];
    ASSERT_EQ(given.ids, masks.ids);
    ASSERT_EQ(texts->weight(example), static_cast<double>(masks.labels.size()));
    weight += texts->weight(example);
    tokens += static_cast<int64_t>(given.ids.size());
    const Sequence* const one[] = {&given};
    const PackedBatch batch = pack(one, {0});
    const at::Tensor hidden = network.encoder->forward(batch, quiet(*arithmetic));
    const at::Tensor logits = run_head(model.description, network.parameters, HeadKind::kMaskedLm, hidden,
                                       batch, at::Tensor(), quiet(*arithmetic));
    const at::Tensor log_p = at::log_softmax(logits.to(at::kDouble), 1);
    for (std::size_t i = 0; i < masks.labels.size(); ++i)
      expected -= log_p[masks.positions[i]][masks.labels[i]].item<double>();
  }
  EXPECT_LE(tokens, 200);
  EXPECT_GT(tokens, 200 - 24);
  EXPECT_NEAR(loss, expected, 1e-5 * expected);
  // Weights near zero guess nothing: log(vocabulary) a token.
  EXPECT_NEAR(loss / weight, std::log(66.0), 0.1);
}

TEST_F(MaskedLm, SlicesChangeNeitherLossNorGradients) {
  Model model = fresh();
  Network network = network_of(model);
  const auto arithmetic = make_arithmetic("fp32");
  Sequence sequence;
  for (int i = 0; i < 40; ++i) sequence.ids.push_back(6 + i);
  const Sequence* const one[] = {&sequence};
  const PackedBatch batch = pack(one, {0});
  const at::Tensor rows = at::arange(1, 38, at::kLong), labels = at::arange(20, 57, at::kLong);
  const auto gradients = [&](int64_t slice) {
    network.parameters.zero_gradients();
    const at::Tensor hidden = network.encoder->forward(batch, quiet(*arithmetic));
    at::Tensor loss;
    {
      const ForwardContext gone_before_backward = quiet(*arithmetic);
      loss = masked_lm_loss(model.description, network.parameters, hidden, batch, rows, labels,
                            gone_before_backward, slice);
    }
    (loss / 3).backward();
    std::vector<at::Tensor> out = {loss.detach()};
    for (const Parameters::Entry& entry : network.parameters) out.push_back(entry.tensor.grad());
    return out;
  };
  const auto whole = gradients(0);
  for (const int64_t slice : {1, 5, 36}) {
    const auto sliced = gradients(slice);
    std::size_t compared = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      ASSERT_EQ(whole[i].defined(), sliced[i].defined()) << i;
      if (!whole[i].defined()) continue;  // the pooler
      ++compared;
      const double scale = whole[i].norm().item<double>();
      EXPECT_LE((whole[i] - sliced[i]).norm().item<double>(), 1e-5 * scale + 1e-6) << i;
    }
    EXPECT_EQ(compared, whole.size() - 2);
  }
}

TEST_F(MaskedLm, GoesOnAfterAnyStepAndDependsOnNoBatchSize) {
  Model model = fresh();
  const auto first = objective(model);
  Batches::Settings size;
  size.batch_tokens = 150;
  std::map<int64_t, std::vector<int32_t>> seen;
  std::vector<std::vector<int64_t>> steps;
  Json state;
  for (int step = 0; step < 60; ++step) {
    if (step == 23) state = Json::parse(first->state().dump(), "state");
    steps.push_back(first->next_examples(size));
    for (const int64_t i : steps.back()) seen[i] = first->sequences(i)[0].ids;
  }
  const auto resumed = objective(model);
  resumed->restore(state);
  for (std::size_t step = 23; step < 60; ++step) {
    ASSERT_EQ(resumed->next_examples(size), steps[step]) << step;
    for (const int64_t i : steps[step]) ASSERT_EQ(resumed->sequences(i)[0].ids, seen[i]);
  }
  const auto other = objective(model);
  Batches::Settings by_count;
  by_count.batch_size = 7;
  for (int step = 0; step < 20; ++step) {
    const std::vector<int64_t> examples = other->next_examples(by_count);
    EXPECT_EQ(examples.size(), 7u);
    for (const int64_t i : examples) ASSERT_EQ(other->sequences(i)[0].ids, seen[i]);
  }
  EXPECT_NE(objective(model, 2)->next_examples(size), std::vector<int64_t>());
  const auto other_seed = objective(model, 2);
  EXPECT_NE(error_of([&] { other_seed->restore(state); }).find("masked in another way"), std::string::npos);
}

TEST_F(MaskedLm, TrainsAndResumesToTheSameWeights) {
  const auto settings_in = [&](const std::string& name) {
    LoopSettings settings;
    settings.max_steps = 40;
    settings.batches.batch_tokens = 300;
    settings.micro_tokens = 120;
    settings.learning_rate = 2e-2;
    settings.folder = folder_ / name;
    settings.save_steps = 15;
    settings.eval_steps = 40;
    std::filesystem::create_directories(settings.folder);
    return settings;
  };
  struct Outcome {
    std::vector<double> losses;
    TensorMap weights;
    LoopResult result;
  };
  const auto run = [&](const LoopSettings& settings, bool resume, int64_t stop_at) {
    Outcome outcome;
    Model model = fresh();
    const auto texts = objective(model);
    Network network = network_of(model);
    try {
      outcome.result =
          penjing::train::train(network, *texts, settings, resume, nullptr, [&](const StepLog& log) {
            outcome.losses.push_back(log.loss);
            if (log.step == stop_at) throw std::runtime_error("killed");
          });
    } catch (const std::runtime_error&) {
    }
    store_parameters(network.parameters, model);
    outcome.weights = model.tensors;
    return outcome;
  };
  const Outcome whole = run(settings_in("whole"), false, -1);
  ASSERT_EQ(whole.losses.size(), 40u);
  // From log(66) = 4.19 down.
  EXPECT_LT(whole.losses.back(), whole.losses.front() - 0.05);
  ASSERT_EQ(whole.result.evaluations.size(), 1u);
  const auto& scores = whole.result.evaluations[0].scores;
  EXPECT_EQ(scores[0].first, "masked_accuracy");
  EXPECT_EQ(scores[1].first, "perplexity");
  EXPECT_LT(scores[1].second, 60);
  EXPECT_GT(scores[1].second, 1);

  (void)run(settings_in("killed"), false, 22);
  const Outcome rest = run(settings_in("killed"), true, -1);
  ASSERT_EQ(rest.losses.size(), 25u);  // the checkpoint of step 15
  for (std::size_t i = 0; i < rest.losses.size(); ++i) EXPECT_EQ(rest.losses[i], whole.losses[15 + i]) << i;
  for (const TensorMap::Entry& entry : whole.weights) {
    const Tensor& other = rest.weights.at(entry.name);
    ASSERT_EQ(other.bytes.size(), entry.tensor.bytes.size());
    EXPECT_TRUE(std::equal(other.bytes.begin(), other.bytes.end(), entry.tensor.bytes.begin())) << entry.name;
  }
  EXPECT_EQ(rest.result.evaluations.back().scores, scores);
}

TEST_F(MaskedLm, AStreamWantsANumberOfSteps) {
  Model model = fresh();
  const auto texts = objective(model);
  Network network = network_of(model);
  EXPECT_NE(error_of([&] {
              penjing::train::train(network, *texts, {}, false);
            }).find("a number of steps is wanted"),
            std::string::npos);
}

}  // namespace
}  // namespace penjing::train
