// Prompts of sentence models: trained with what the runtime embeds with.
#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/train/objective_steps.h"
#include "train/text_examples.h"

namespace penjing::train {
namespace {

class PromptsTest : public ::testing::Test {
 protected:
  PromptsTest() : folder_("prompts") {
    testing::write_tiny_folder(folder_ / "model", testing::TinyHead::kSentence);
    write_bytes(folder_ / "data/train.tsv", "anchor\tpositive\nthe cat\ta dog\na dog\tbig house\n");
    write_bytes(folder_ / "triplets/train.tsv", "anchor\tpositive\tnegative\nthe cat\ta dog\tsat\n");
    write_bytes(folder_ / "scores/train.tsv",
                "sentence1\tsentence2\tscore\nthe cat\ta dog\t1\nsat\tmat\t2\n");
    write_bytes(folder_ / "classes/train.tsv", "text\tlabel\nthe cat\tx\na dog\ty\nmat\ty\n");
  }
  void set_prompts(const std::string& prompts, const std::string& fallback) {
    write_bytes(folder_ / "model/config_sentence_transformers.json",
                "{\"prompts\":" + prompts + ",\"default_prompt_name\":" + fallback + "}");
  }
  ObjectiveRun make(const char* kind, const char* data) {
    return ObjectiveRun(folder_ / "model", kind, folder_ / data, Json::object(), "");
  }
  // The example's texts as words, without special tokens.
  std::vector<std::string> texts(const ObjectiveRun& run, int64_t example) {
    std::vector<std::string> all;
    for (const Sequence& sequence : run.objective->sequences(example)) {
      std::string text;
      for (std::size_t t = 1; t + 1 < sequence.ids.size(); ++t)
        text += (t > 1 ? " " : "") + std::string(run.tokenizer->token(sequence.ids[t]));
      all.push_back(text);
    }
    return all;
  }
  TestFolder folder_;
};

using Texts = std::vector<std::string>;

TEST_F(PromptsTest, AnchorsAreQueriesAndAnswersAreDocuments) {
  set_prompts(R"({"query":"in the ","passage":"on red ","other":"big "})", "\"other\"");
  ObjectiveRun pairs = make("pairs", "data");
  EXPECT_EQ(texts(pairs, 0), (Texts{"in the the cat", "on red a dog"}));
  EXPECT_EQ(texts(pairs, 1), (Texts{"in the a dog", "on red big house"}));
  EXPECT_EQ(pairs.objective->sequences(0)[0].prompt, 3);  // [CLS] in the
  // The same texts in no particular role.
  EXPECT_EQ(texts(make("triplets", "triplets"), 0), (Texts{"big the cat", "big a dog", "big sat"}));
  EXPECT_EQ(texts(make("similarity", "scores"), 1), (Texts{"big sat", "big mat"}));
  ObjectiveRun few = make("few-shot", "classes");
  for (const std::string& text : texts(few, 0)) EXPECT_TRUE(text.starts_with("big ")) << text;
}

TEST_F(PromptsTest, WithoutARolesPromptTheDefaultOneIsTaken) {
  set_prompts(R"({"document":"","other":"big "})", "\"other\"");
  EXPECT_EQ(texts(make("pairs", "data"), 0), (Texts{"big the cat", "a dog"}));
  set_prompts(R"({"other":"big "})", "null");
  ObjectiveRun none = make("pairs", "data");
  EXPECT_EQ(texts(none, 0), (Texts{"the cat", "a dog"}));
  EXPECT_EQ(none.objective->sequences(0)[0].prompt, 0);
  set_prompts(R"({"other":"big "})", "\"absent\"");
  EXPECT_NE(error_of([&] { make("triplets", "triplets"); }).find("prompt \"absent\": the model has other"),
            std::string::npos);
}

// What the pooling leaves out is left out in training as in the runtime, for every mode.
TEST_F(PromptsTest, APromptThatIsNotIncludedIsNotPooled) {
  set_prompts(R"({"other":"big red "})", "\"other\"");
  for (const char* mode : {"mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "cls_token",
                           "weightedmean_tokens", "lasttoken"}) {
    SCOPED_TRACE(mode);
    write_bytes(folder_ / "model/1_Pooling/config.json",
                std::string("{\"word_embedding_dimension\":32,\"pooling_mode_") + mode +
                    "\":true,\"include_prompt\":false}");
    ObjectiveRun run = make("similarity", "scores");
    const Sequence& first = run.objective->sequences(0)[0];
    ASSERT_EQ(first.prompt, 3);
    std::vector<const Sequence*> sequences = {&first, &run.objective->sequences(1)[0]};
    const PackedBatch batch = pack(sequences, {0, 1});
    const at::NoGradGuard no_gradient;
    const ForwardContext context = run.context();
    const at::Tensor hidden = run.network.encoder->forward(batch, context);
    const at::Tensor rows = embed_sentences(run.model, run.network.parameters, hidden, batch, context);

    RaggedBatch ragged;
    for (const Sequence* sequence : sequences) ragged.append(sequence->ids, sequence->types);
    const auto session = Engine::build(run.model)->new_session(std::make_shared<ThreadPool>(1));
    Request request;
    request.kind = OutputKind::kEmbedding;
    const std::vector<int64_t> prompts = {3, 3};
    request.prompt_lengths = prompts;
    const Prediction runtime = session->predict(ragged, request);
    double largest = 0;
    for (int64_t i = 0; i < 2; ++i) {
      for (int64_t f = 0; f < runtime.dim; ++f) {
        EXPECT_NEAR(rows[i][f].item<double>(), runtime.row(i)[static_cast<std::size_t>(f)], 1e-5);
        largest = std::max(largest, std::abs(rows[i][f].item<double>()));
      }
    }
    EXPECT_GT(largest, 1e-2);
    // Where the whole text is pooled, the prompt counts.
    PackedBatch whole = batch;
    whole.prompts.clear();
    const at::Tensor other = embed_sentences(run.model, run.network.parameters, hidden, whole, context);
    const bool differs = !at::allclose(other, rows, 1e-3, 1e-4);
    EXPECT_EQ(differs, std::string(mode) != "cls_token" && std::string(mode) != "lasttoken");
  }
}

}  // namespace
}  // namespace penjing::train
