// The objectives pairs, triplets, retrieval and similarity.
#include <gtest/gtest.h>

#include "eval/statistics.h"
#include "tests/train/objective_steps.h"
#include "train/hard_negatives.h"
#include "train/losses.h"

namespace penjing::train {
namespace {

namespace fs = std::filesystem;

class RankingTest : public ::testing::Test {
 protected:
  RankingTest() : folder_("ranking") {
    testing::write_tiny_folder(folder_ / "model", testing::TinyHead::kSentence);
    const std::string pairs =
        "anchor\tpositive\nthe cat\tbig house\na dog\tred mat\nthe mat\ta cat sat\nthe cat\tin , the\n";
    write_bytes(folder_ / "pairs/train.tsv", pairs);
    write_bytes(folder_ / "pairs/dev.tsv", pairs);
    const std::string triplets =
        "anchor\tpositive\tnegative\nthe cat\tbig house\tred mat\na dog\tred mat\tbig house\nthe mat\ta "
        "cat\tdog ran\n";
    write_bytes(folder_ / "triplets/train.tsv", triplets);
    write_bytes(folder_ / "triplets/dev.tsv", triplets);
    write_bytes(folder_ / "beir/corpus.jsonl",
                "{\"_id\":\"a\",\"text\":\"big house\"}\n{\"_id\":\"b\",\"title\":\"red\",\"text\":\"mat\"}\n"
                "{\"_id\":\"c\",\"text\":\"a cat sat\"}\n{\"_id\":\"d\",\"text\":\"dog ran on\"}\n");
    write_bytes(folder_ / "beir/queries.jsonl",
                "{\"_id\":\"1\",\"text\":\"the cat\"}\n{\"_id\":\"2\",\"text\":\"a "
                "dog\"}\n{\"_id\":\"3\",\"text\":\"sat\"}\n");
    for (const char* split : {"train", "dev"})
      write_bytes(folder_ / "beir/qrels" / (std::string(split) + ".tsv"),
                  "query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t1\n2\tb\t1\n3\tc\t0\n");
  }
  ObjectiveRun make(const char* kind, const char* data, const Json& params = Json::object()) {
    return ObjectiveRun(folder_ / "model", kind, folder_ / data, params);
  }
  at::Tensor embed(ObjectiveRun& run, const Sequence& sequence) {
    const at::NoGradGuard no_gradient;
    RaggedBatch ragged;
    ragged.append(sequence.ids);
    const PackedBatch batch = pack(ragged, {0});
    const ForwardContext context = run.context();
    return embed_sentences(run.model, run.network.parameters, run.network.encoder->forward(batch, context),
                           batch, context)[0];
  }
  TestFolder folder_;
};

TEST_F(RankingTest, OtherRightAnswersAreNoNegatives) {
  ObjectiveRun run = make("pairs", "pairs");
  ASSERT_EQ(run.objective->num_examples(), 4);
  EXPECT_FALSE(run.objective->is_sum());
  at::Tensor cosines = at::zeros({4, 4}, at::kDouble);
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      const at::Tensor a = embed(run, run.objective->sequences(i)[0]),
                       p = embed(run, run.objective->sequences(j)[1]);
      cosines[i][j] = ((a * p).sum() / (a.norm() * p.norm())).to(at::kDouble);
    }
  }
  // Anchor "the cat" has two right answers: rows 0 and 3.
  at::Tensor scores = cosines * 20;
  scores[0][3] = -1e30;
  scores[3][0] = -1e30;
  const double wanted = -at::log_softmax(scores, 1).diagonal().sum().item<double>();
  const at::NoGradGuard no_gradient;
  const auto sum = [&](const ForwardContext& context) {
    return run.objective->loss(run.network, context, run.first(4), 0).sum.item<double>();
  };
  EXPECT_NEAR(sum(run.context()), wanted, 1e-3);
  EXPECT_GT(std::abs(wanted + at::log_softmax(cosines * 20, 1).diagonal().sum().item<double>()), 1e-2);
}

TEST_F(RankingTest, PairsAreLearned) {
  ObjectiveRun run = make("pairs", "pairs", Json::object({{"symmetric", true}}));
  EXPECT_NE(run.objective->summary().find("4 examples of 7 distinct texts, 3 anchors"), std::string::npos)
      << run.objective->summary();
  const auto losses = run.descend(run.first(4), 40, 0.3);
  EXPECT_LT(losses.back(), 0.5 * losses.front()) << losses.front() << " " << losses.back();
  EXPECT_EQ(run.scores()[0].first, "ndcg_at_10");
  EXPECT_GT(run.main_score(), 0.95);
}

TEST_F(RankingTest, TripletsAreLearnedWithEitherLoss) {
  for (const Json& params : {Json::object({{"margin", 1.0}}), Json::object({{"distance", "cosine"}}),
                             Json::object({{"loss", "multiple-negatives"}})}) {
    SCOPED_TRACE(params.dump());
    ObjectiveRun run = make("triplets", "triplets", params);
    EXPECT_EQ(run.objective->is_sum(), !params.contains("loss"));
    const auto losses = run.descend(run.first(3), 40, 0.3);
    EXPECT_LT(losses.back(), 0.5 * losses.front());
    EXPECT_EQ(run.main_score(), 1);
  }
}

TEST_F(RankingTest, TripletLossIsThatOfTheEmbeddings) {
  ObjectiveRun run = make("triplets", "triplets");
  const auto of = [&](int64_t i, std::size_t column) {
    return embed(run, run.objective->sequences(i)[column]).unsqueeze(0);
  };
  double wanted = 0;
  for (int64_t i = 0; i < 3; ++i) {
    wanted += std::max(
        0.0, (of(i, 0) - of(i, 1)).norm().item<double>() - (of(i, 0) - of(i, 2)).norm().item<double>() + 5);
  }
  const at::NoGradGuard no_gradient;
  EXPECT_NEAR(run.objective->loss(run.network, run.context(), run.first(3), 0).sum.item<double>(), wanted,
              1e-3);
}

TEST_F(RankingTest, RetrievalLearnsJudgements) {
  ObjectiveRun run = make("retrieval", "beir");
  ASSERT_EQ(run.objective->num_examples(), 3);
  const auto losses = run.descend(run.first(3), 40, 0.3);
  EXPECT_LT(losses.back(), losses.front());
  EXPECT_GT(run.main_score(), 0.9);
}

TEST_F(RankingTest, NegativesAreMinedFromTheModelsOwnRanking) {
  ObjectiveRun plain = make("retrieval", "beir");
  ObjectiveRun run = make("retrieval", "beir", Json::object({{"hard_negatives", 1}, {"negatives_to", 1}}));
  EXPECT_NE(run.objective->summary().find("3 negatives mined from ranks 1 to 1 of 4 texts"),
            std::string::npos)
      << run.objective->summary();
  // Query 1's right answers are a and b: the nearer of c and d is the negative.
  const at::Tensor query = embed(plain, plain.objective->sequences(0)[0]);
  EncodeOptions ids;
  const auto text = [&](const char* words) { return Sequence{plain.tokenizer->encode(words, ids).ids, {}}; };
  const Sequence c = text("a cat sat"), d = text("dog ran on");
  const auto likeness = [&](const Sequence& s) {
    const at::Tensor e = embed(plain, s);
    return ((query * e).sum() / e.norm()).item<double>();
  };
  ASSERT_EQ(run.objective->sequences(0).size(), 3u);
  EXPECT_EQ(run.objective->sequences(0)[2].ids, likeness(c) > likeness(d) ? c.ids : d.ids);
  // The same negatives, or the run cannot be resumed.
  run.objective->restore(make("retrieval", "beir", Json::object({{"hard_negatives", 1}, {"negatives_to", 1}}))
                             .objective->state());
  EXPECT_NE(error_of([&] { run.objective->restore(plain.objective->state()); }).find("not those of the run"),
            std::string::npos);
}

TEST(HardNegatives, RanksMarginAndRightAnswersAreRespected) {
  RankingData data;
  data.add("q", "p", {});
  data.add("q", "p2", {});
  for (const char* name : {"n1", "n2", "n3"}) data.number_of(name);
  data.corpus = {0, 1, 2, 3, 4, 5};
  // Cosines with q: p 0.8, p2 0.95, n1 0.9, n2 0.7, n3 0.1.
  const std::vector<double> cosines = {1, 0.8, 0.95, 0.9, 0.7, 0.1};
  at::Tensor rows = at::zeros({6, 2});
  for (int64_t i = 0; i < 6; ++i) {
    rows[i][0] = cosines[static_cast<std::size_t>(i)];
    rows[i][1] = std::sqrt(1 - cosines[static_cast<std::size_t>(i)] * cosines[static_cast<std::size_t>(i)]);
  }
  using Negatives = std::vector<int64_t>;
  EXPECT_EQ(mine_negatives(data, rows, {1, 1, 1, -2, 1})[0], Negatives{3});
  EXPECT_EQ(mine_negatives(data, rows, {5, 2, 2, -2, 1})[0], Negatives{4});
  EXPECT_EQ(mine_negatives(data, rows, {1, 1, 2, 0.05, 1})[0], Negatives{4});
  EXPECT_TRUE(mine_negatives(data, rows, {1, 4, 9, -2, 1})[0].empty());
  Negatives all = mine_negatives(data, rows, {3, 1, 9, -2, 1})[0];
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, (Negatives{3, 4, 5}));
}

TEST_F(RankingTest, RefusesWhatCannotBe) {
  EXPECT_NE(error_of([&] { make("triplets", "pairs"); }).find("no column of negatives"), std::string::npos);
  EXPECT_NE(error_of([&] {
              make("pairs", "pairs", Json::object({{"pooling", "cls"}}));
            }).find("pooling of its own"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              make("pairs", "pairs", Json::object({{"margin", 1}}));
            }).find("no parameter \"margin\""),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              make("pairs", "pairs", Json::object({{"loss", "triplet"}}));
            }).find("needs a negative"),
            std::string::npos);
}

TEST_F(RankingTest, AnEncoderWithoutPoolingGetsOneThatIsWritten) {
  testing::write_tiny_folder(folder_ / "masked", testing::TinyHead::kMasked);
  ObjectiveRun run(folder_ / "masked", "pairs", folder_ / "pairs", Json::object({{"pooling", "cls"}}));
  store_parameters(run.network.parameters, run.model);
  write_model(run.model, folder_ / "out");
  const Model read = read_model(folder_ / "out");
  ASSERT_EQ(read.sentence.modules.size(), 1u);
  EXPECT_EQ(read.sentence.modules[0].pooling.modes, std::vector<PoolingMode>{PoolingMode::kCls});
  EXPECT_EQ(read.sentence.max_seq_length, 48);
  EXPECT_EQ(read.description.find_head(HeadKind::kMaskedLm), nullptr);
}

TEST_F(RankingTest, SimilarityFollowsScores) {
  const std::string pairs =
      "sentence1\tsentence2\tscore\nthe cat\tbig house\t5\na dog\tred mat\t1\nthe mat\ta cat sat\t3\ndog "
      "ran\tin the\t2\n";
  write_bytes(folder_ / "scored/train.tsv", pairs);
  write_bytes(folder_ / "scored/dev.tsv", pairs);
  for (const char* loss : {"cosent", "cosine"}) {
    SCOPED_TRACE(loss);
    ObjectiveRun run = make("similarity", "scored", Json::object({{"loss", loss}}));
    EXPECT_EQ(run.objective->is_sum(), std::string(loss) == "cosine");
    EXPECT_NE(run.objective->summary().find("scores from 1 to 5"), std::string::npos);
    const auto losses = run.descend(run.first(4), 60, 0.2);
    EXPECT_LT(losses.back(), 0.5 * losses.front()) << losses.front() << " " << losses.back();
    EXPECT_EQ(run.scores()[0].first, "spearmanr");
    // CoSENT trains the order itself; steps of one length leave the cosines near the scores, not on them.
    EXPECT_GT(run.main_score(), std::string(loss) == "cosent" ? 0.999 : 0.75);
  }
}

TEST(SimilarityOnRealData, AFewStepsLowerTheLoss) {
  if (minilm_folder().empty() || !fs::exists(shared_data() / "glue-stsb"))
    GTEST_SKIP() << "no MiniLM or glue-stsb";
  ObjectiveRun run(minilm_folder(), "similarity", shared_data() / "glue-stsb",
                   Json::object({{"chunk_tokens", 512}}), "dev", 100);
  ASSERT_EQ(run.objective->num_examples(), 100);
  const double before = run.main_score();
  EXPECT_GT(before, 0.8);
  const auto losses = run.descend(run.first(32), 5, 0.05);
  EXPECT_LT(losses.back(), losses.front()) << losses.front() << " " << losses.back();
  EXPECT_GT(run.main_score(), before - 0.05);
}

}  // namespace
}  // namespace penjing::train
