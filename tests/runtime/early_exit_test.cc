// Rows that leave early: what they say, who may stand beside them, and that the rest goes on as if they had
// never been.
#include "runtime/early_exit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "base/error.h"
#include "kernels/cpu.h"
#include "model/exits.h"
#include "tests/runtime/tiny_models.h"

namespace penjing {
namespace {

// The model with exits whose heads are random.
Model with_exits(Model model, const std::vector<int64_t>& layers, uint64_t seed,
                 ExitInput input = ExitInput::kFirstToken) {
  Rng rng(seed);
  set_exits(model, layers, input);
  for (const ExitSpec& exit : read_exits(model)) {
    for (const LinearSpec* spec : {&exit.head.dense, &exit.head.projection}) {
      if (spec->name.empty()) continue;
      std::vector<float> weight(static_cast<std::size_t>(spec->in * spec->out)), bias(spec->out);
      for (float& value : weight) value = 0.25f * rng.normal();
      for (float& value : bias) value = 0.1f * rng.normal();
      model.tensors.set(spec->name + ".weight", Tensor::from_floats({spec->out, spec->in}, weight));
      model.tensors.set(spec->name + ".bias", Tensor::from_floats({spec->out}, bias));
    }
  }
  check_model(model, true);
  return model;
}

// Without what lies behind the exit, whose classifier is the model's: an ordinary model, or of the mean of
// the tokens a sentence encoder that ends in classes.
Model cut_behind(const Model& model, const ExitSpec& exit) {
  Model cut = model;
  cut.config.erase("compression_config");
  Description& d = cut.description;
  d.blocks.resize(static_cast<std::size_t>(exit.value));
  d.output = exit.value;
  for (HeadSpec& head : d.heads) {
    if (head.kind == HeadKind::kSequenceClassifier) head = exit.head;
  }
  if (exit.input == ExitInput::kMean) {
    std::erase_if(d.heads, [](const HeadSpec& head) { return head.kind == HeadKind::kSequenceClassifier; });
    using Kind = SentenceModule::Kind;
    cut.sentence.modules = {{Kind::kPooling, {{PoolingMode::kMean}, true}, {}, Activation::kNone}};
    if (exit.head.has_dense)
      cut.sentence.modules.push_back({Kind::kDense, {}, exit.head.dense, exit.head.activation});
    cut.sentence.modules.push_back({Kind::kDense, {}, exit.head.projection, Activation::kNone});
    cut.id2label.resize(static_cast<std::size_t>(exit.head.projection.out));
  }
  return cut;
}

Model without_exits(Model model) {
  model.config.erase("compression_config");
  return model;
}

Prediction classify(Predictor& session, const RaggedBatch& batch) {
  return session.predict(batch, {.kind = OutputKind::kClassLogits});
}

void expect_equal_bits(std::span<const float> got, std::span<const float> want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size_bytes()), 0) << what;
}

class EarlyExits : public ::testing::TestWithParam<int> {
 protected:
  // Layer 2 has no attention, layer 3 no feed-forward part.
  static Model make(int index) {
    Model model = testing::make_bert_like(31 + static_cast<uint64_t>(index));
    if (index == 1) model = testing::quantize_tiny(model, false);
    if (index == 2 || index == 4) {
      model = testing::quantize_tiny(model, true);
      for (Block& block : model.description.blocks) {
        if (auto* attention = std::get_if<AttentionSpec>(&block.part)) attention->integer = true;
      }
    }
    return with_exits(model, {1, 2, 3}, 5, index < 3 ? ExitInput::kFirstToken : ExitInput::kMean);
  }
  static std::unique_ptr<Predictor> session(const Model& model, EarlyExit exit, int threads = 1,
                                            int64_t max_tokens = 16384) {
    return new_exiting_session(*Engine::build(model), std::make_shared<ThreadPool>(threads), std::move(exit),
                               max_tokens);
  }
  static RaggedBatch texts(const Model& model) {
    Rng rng(77);
    return testing::random_batch(rng, 40, 120, model.description.embedding.vocab_size);
  }
};

TEST_P(EarlyExits, OfAThresholdOfZeroTheModelIsAsIfItHadNone) {
  const Model model = make(GetParam());
  const RaggedBatch batch = texts(model);
  const auto plain = Engine::build(without_exits(model))->new_session(std::make_shared<ThreadPool>(1));
  const Prediction want = classify(*plain, batch);
  std::map<int64_t, int64_t> rows;
  const auto exiting = session(model, {0, 0, [&](int64_t, int64_t layers) { ++rows[layers]; }}, 3);
  expect_equal_bits(classify(*exiting, batch).values, want.values, "threshold 0");
  EXPECT_EQ(rows, (std::map<int64_t, int64_t>{{4, 40}}));
  // A model with exits that nobody asks for, and its other outputs.
  const auto unasked = Engine::build(model)->new_session(std::make_shared<ThreadPool>(2));
  expect_equal_bits(classify(*unasked, batch).values, want.values, "not asked for");
  expect_equal_bits(exiting->predict(batch, {.kind = OutputKind::kHidden}).values,
                    plain->predict(batch, {.kind = OutputKind::kHidden}).values, "hidden states");
}

TEST_P(EarlyExits, AnExitSaysWhatTheLayersBeforeItAndItsHeadSay) {
  const Model model = make(GetParam());
  const RaggedBatch batch = texts(model);
  for (const ExitSpec& exit : read_exits(model)) {
    const auto alone = Engine::build(cut_behind(model, exit))->new_session(std::make_shared<ThreadPool>(1));
    int64_t rows = 0, tokens = 0;
    const auto exiting = session(model,
                                 {0, exit.layer,
                                  [&](int64_t length, int64_t layers) {
                                    EXPECT_EQ(layers, exit.layer);
                                    ++rows, tokens += length;
                                  }},
                                 2);
    expect_equal_bits(classify(*exiting, batch).values, classify(*alone, batch).values,
                      "exit " + std::to_string(exit.layer));
    EXPECT_EQ(rows, batch.num_sequences());
    EXPECT_EQ(tokens, batch.num_tokens());
  }
  std::map<int64_t, int64_t> rows;
  const auto first = session(model, {1, 0, [&](int64_t, int64_t layers) { ++rows[layers]; }});
  const auto always = session(model, {0, 1, {}});
  expect_equal_bits(classify(*first, batch).values, classify(*always, batch).values, "threshold 1");
  EXPECT_EQ(rows, (std::map<int64_t, int64_t>{{1, 40}}));
}

// Where each row leaves by the rule, from the exits' answers one at a time.
TEST_P(EarlyExits, ARowLeavesAtTheFirstExitThatIsSureEnoughWhoeverStandsBesideIt) {
  const Model model = make(GetParam());
  const RaggedBatch batch = texts(model);
  const int64_t num_rows = batch.num_sequences();
  std::vector<Prediction> said;  // by exit, then the model itself
  std::vector<int64_t> layers;
  for (const ExitSpec& exit : read_exits(model)) {
    said.push_back(classify(*session(model, {0, exit.layer, {}}), batch));
    layers.push_back(exit.layer);
  }
  said.push_back(
      classify(*Engine::build(without_exits(model))->new_session(std::make_shared<ThreadPool>(1)), batch));
  layers.push_back(model.description.num_layers);
  // A third of the rows is surer than that at the first exit.
  std::vector<float> first;
  for (int64_t i = 0; i < num_rows; ++i) first.push_back(relative_entropy(said[0].row(i)));
  std::nth_element(first.begin(), first.begin() + num_rows / 3, first.end());
  const float threshold = first[static_cast<std::size_t>(num_rows / 3)];
  std::vector<float> want;
  std::map<int64_t, int64_t> wanted_rows;
  for (int64_t i = 0; i < num_rows; ++i) {
    std::size_t at = 0;
    while (at + 1 < said.size() && !(relative_entropy(said[at].row(i)) < threshold)) ++at;
    const auto row = said[at].row(i);
    want.insert(want.end(), row.begin(), row.end());
    ++wanted_rows[layers[at]];
  }
  ASSERT_GE(wanted_rows.size(), 3u) << "the threshold tells too few rows apart";
  const Isa best = usable_isas().back();
  for (const Isa isa : usable_isas()) {
    force_isa_limit(isa);
    for (const int threads : {1, 2, 5}) {
      for (const int64_t max_tokens : {int64_t{16384}, int64_t{200}}) {
        std::map<int64_t, int64_t> rows;
        const auto exiting = session(model, {threshold, 0, [&](int64_t, int64_t after) { ++rows[after]; }},
                                     threads, max_tokens);
        expect_equal_bits(classify(*exiting, batch).values, want,
                          fmt::format("{}, {} threads, {} tokens", name_of(isa), threads, max_tokens));
        EXPECT_EQ(rows, wanted_rows);
        RaggedBatch one;  // alone, after the large batch
        const auto id = static_cast<std::size_t>(batch.offsets[7]);
        one.append(
            std::span<const int32_t>(batch.ids).subspan(id, static_cast<std::size_t>(batch.length(7))));
        const std::size_t dim = static_cast<std::size_t>(said[0].dim);
        expect_equal_bits(classify(*exiting, one).values, std::span(want).subspan(7 * dim, dim), "alone");
      }
    }
  }
  force_isa_limit(best);
}

std::string name_model(const ::testing::TestParamInfo<int>& info) {
  const char* const names[] = {"Fp32", "Int8", "Int8Attention", "Fp32Mean", "Int8AttentionMean"};
  return names[info.param];
}

INSTANTIATE_TEST_SUITE_P(Models, EarlyExits, ::testing::Range(0, 5), name_model);

TEST(RelativeEntropy, IsTheShareOfTheLargest) {
  const auto of = [](std::vector<float> logits) { return relative_entropy(logits); };
  EXPECT_EQ(of({0.5f, 0.5f}), 1);
  EXPECT_FLOAT_EQ(of({2, 2, 2, 2, 2}), 1);
  // p = 1/4, 3/4: H = log 4 - 3/4 log 3.
  const double wanted = (std::log(4.0) - 0.75 * std::log(3.0)) / std::log(2.0);
  EXPECT_NEAR(of({7.0f, 7.0f + std::log(3.0f)}), wanted, 1e-6);
  EXPECT_NEAR(of({-90, 90, -90}), 0, 1e-30);
  EXPECT_GE(of({-90, 90, -90}), 0);
}

// Of a model whose later blocks have residuals from earlier values.
Model mixed_with_classifier() {
  Model model = testing::make_mixed(3);
  HeadSpec head;
  head.kind = HeadKind::kSequenceClassifier;
  head.has_projection = true;
  head.projection = {"classifier", model.description.hidden_size, 3, true};
  model.description.heads.push_back(head);
  Rng rng(4);
  std::vector<float> weight(static_cast<std::size_t>(3 * model.description.hidden_size));
  for (float& value : weight) value = rng.normal();
  model.tensors.set("classifier.weight", Tensor::from_floats({3, model.description.hidden_size}, weight));
  model.tensors.set("classifier.bias", Tensor::from_floats({3}, std::vector<float>{0, 0.5f, 1}));
  return with_exits(model, {1}, 6);
}

TEST(EarlyExitRefusals, NameWhatIsWanted) {
  const auto refusal = [](const Model& model, const EarlyExit& exit, Tap* tap = nullptr) -> std::string {
    try {
      const auto session = new_exiting_session(*Engine::build(model), std::make_shared<ThreadPool>(1), exit);
      RaggedBatch batch;
      batch.append(std::vector<int32_t>{1, 2, 3});
      (void)session->predict(batch, {.kind = OutputKind::kClassLogits, .tap = tap});
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  };
  class NoTap final : public Tap {
    bool wants(std::string_view) override { return false; }
    void on(std::string_view, int, const float*, int64_t, int64_t) override {}
  } tap;
  const Model model = with_exits(testing::make_bert_like(1), {1, 3}, 2);
  EXPECT_EQ(refusal(model, {0.5, 0, {}}), "taken");
  EXPECT_NE(refusal(model, {0.5, 2, {}}).find("lie behind layer 1, 3"), std::string::npos);
  EXPECT_NE(refusal(model, {1.5, 0, {}}).find("1.5"), std::string::npos);
  EXPECT_NE(refusal(model, {0.5, 0, {}}, &tap).find("tap"), std::string::npos);
  EXPECT_NE(refusal(testing::make_bert_like(1), {0.5, 0, {}}).find("no exits"), std::string::npos);
  Model mixed = mixed_with_classifier();
  EXPECT_EQ(refusal(mixed, {0.5, 0, {}}), "taken");
  mixed.description.blocks[5].residual = 0;  // the embeddings, beside what the fifth gave
  EXPECT_NE(refusal(mixed, {0.5, 0, {}}).find("exit behind layer 1"), std::string::npos)
      << refusal(mixed, {0.5, 0, {}});
}

// A tap that wants everything is not asked about the places where rows could leave.
TEST(EarlyExitTaps, SeeTheSameSites) {
  class Names final : public Tap {
   public:
    bool wants(std::string_view site) override { return names.emplace_back(site), true; }
    void on(std::string_view, int, const float*, int64_t, int64_t) override {}
    std::vector<std::string> names;
  };
  const Model model = with_exits(testing::make_bert_like(1), {1, 3}, 2);
  RaggedBatch batch;
  batch.append(std::vector<int32_t>{1, 2, 3});
  Names with, without;
  for (const auto& [one, tap] : {std::pair(model, &with), {without_exits(model), &without}}) {
    const auto session = Engine::build(one)->new_session(std::make_shared<ThreadPool>(1));
    (void)session->predict(batch, {.kind = OutputKind::kClassLogits, .tap = tap});
  }
  EXPECT_EQ(with.names, without.names);
}

}  // namespace
}  // namespace penjing
