#include <gtest/gtest.h>

#include <set>

#include "tests/train/objective_steps.h"

namespace penjing::train {
namespace {

namespace fs = std::filesystem;

class FewShotTest : public ::testing::Test {
 protected:
  FewShotTest() : folder_("few-shot") {
    testing::write_tiny_folder(folder_ / "model", testing::TinyHead::kSentence);
    const std::string rows =
        "text\tlabel\nthe cat\tanimal\na dog\tanimal\nthe dog sat\tanimal\nbig house\tplace\nred mat\tplace\n"
        "in the house\tplace\n";
    write_bytes(folder_ / "data/train.tsv", rows);
    write_bytes(folder_ / "data/dev.tsv", rows);
  }
  TestFolder folder_;
};

TEST_F(FewShotTest, PairsHaveTheSignOfTheirClasses) {
  ObjectiveRun run(folder_ / "model", "few-shot", folder_ / "data",
                   Json::object({{"iterations", 3}, {"shots", 2}}));
  EXPECT_EQ(run.objective->num_examples(), 4 * 3 * 2);
  const at::NoGradGuard no_gradient;
  const std::set<std::string> animals = {"the cat", "a dog", "the dog sat"};
  std::set<std::string> texts;
  for (int64_t i = 0; i < run.objective->num_examples(); ++i) {
    const auto pair = run.objective->sequences(i);
    const std::string a = run.tokenizer->decode(pair[0].ids), b = run.tokenizer->decode(pair[1].ids);
    EXPECT_NE(a, b);
    texts.insert({a, b});
    // The cosine of unit rows against the sign: (cos - same)^2.
    std::vector<at::Tensor> rows;
    for (const Sequence& sequence : pair) {
      RaggedBatch ragged;
      ragged.append(sequence.ids);
      const PackedBatch batch = pack(ragged, {0});
      rows.push_back(embed_sentences(run.model, run.network.parameters,
                                     run.network.encoder->forward(batch, run.context()), batch,
                                     run.context())[0]);
    }
    const double cosine = (rows[0] * rows[1]).sum().item<double>();
    const double same = animals.contains(a) == animals.contains(b) ? 1 : 0;
    const std::vector<int64_t> one = {i};
    EXPECT_NEAR(run.objective->loss(run.network, run.context(), one, 0).sum.item<double>(),
                (cosine - same) * (cosine - same), 1e-5);
  }
  EXPECT_EQ(texts.size(), 4u);
}

TEST_F(FewShotTest, TheResultIsAClassifier) {
  for (const char* loss : {"cosine", "contrastive"}) {
    SCOPED_TRACE(loss);
    ObjectiveRun run(folder_ / "model", "few-shot", folder_ / "data",
                     Json::object({{"iterations", 2}, {"loss", loss}}));
    const auto losses = run.descend(run.first(1000), 40, 0.2);
    EXPECT_LT(losses.back(), 0.5 * losses.front()) << losses.front() << " " << losses.back();
    EXPECT_EQ(run.main_score(), 1);
    store_parameters(run.network.parameters, run.model);
    run.objective->finish(run.network, run.context(), run.model);
    const fs::path out = folder_ / (std::string("out-") + loss);
    write_model(run.model, out);
    const Model read = read_model(out);
    EXPECT_TRUE(is_sentence_classifier(read));
    EXPECT_EQ(read.id2label, (std::vector<std::string>{"animal", "place"}));
    // The written classifier agrees with the evaluation: logits of a training text.
    Network network;
    network.model = &read;
    network.parameters = load_parameters(read);
    network.encoder = std::make_unique<Encoder>(read.description, network.parameters);
    const at::NoGradGuard no_gradient;
    RaggedBatch ragged;
    ragged.append(run.tokenizer->encode("red mat").ids);
    ragged.append(run.tokenizer->encode("a dog").ids);
    const PackedBatch batch = pack(ragged, {0, 1});
    const at::Tensor logits = embed_sentences(
        read, network.parameters, network.encoder->forward(batch, run.context()), batch, run.context());
    EXPECT_LT(logits[0][0].item<double>(), logits[0][1].item<double>());
    EXPECT_GT(logits[1][0].item<double>(), logits[1][1].item<double>());
  }
}

}  // namespace
}  // namespace penjing::train
