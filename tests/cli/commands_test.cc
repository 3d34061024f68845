// What the commands print and write, on tiny random models: forms, orders and agreements that hold whatever
// the weights are.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "cli/command.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_folder.h"
#include "tests/io/checkpoint_writer.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;
using testing::TinyHead;

class Commands : public ::testing::Test {
 protected:
  fs::path work_ =
      fs::path(::testing::TempDir()) / ("penjing_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  void SetUp() override { fs::create_directories(work_); }
  void TearDown() override { fs::remove_all(work_); }

  std::string path(const std::string& name) const { return (work_ / name).string(); }
  std::string make_model(TinyHead head) const {
    testing::write_tiny_folder(work_ / "model", head);
    return path("model");
  }
  std::string slurp(const std::string& name) const {
    std::ifstream file(work_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Standard output of a run that must succeed.
  std::string want(const std::vector<std::string>& arguments, const std::string& input = "") const {
    const ProgramResult result = run_program({arguments, input});
    EXPECT_EQ(result.status, 0) << arguments[0] << "\n" << result.err;
    return result.out;
  }
  Json want_json(std::vector<std::string> arguments, const std::string& input = "") const {
    arguments.push_back("--json");
    return Json::parse(want(arguments, input), arguments[0]);
  }
  // The float32 rows of a .npy file.
  std::vector<std::vector<float>> read_rows(const std::string& name) const {
    const std::string bytes = slurp(name);
    const std::size_t start = bytes.find('\n') + 1, comma = bytes.find("'shape': (") + 10;
    std::size_t rows = 0, columns = 0;
    EXPECT_EQ(std::sscanf(bytes.c_str() + comma, "%zu, %zu)", &rows, &columns), 2);
    EXPECT_EQ(bytes.size(), start + rows * columns * sizeof(float));
    std::vector<std::vector<float>> values(rows, std::vector<float>(columns));
    for (std::size_t i = 0; i < rows; ++i)
      std::memcpy(values[i].data(), bytes.data() + start + i * columns * sizeof(float),
                  columns * sizeof(float));
    return values;
  }
};

double number(const Json& json, const char* key) {
  return json.find(key) == nullptr ? std::nan("") : json.find(key)->as_double(key);
}

const char* const kTexts = "the cat sat on the mat.\n\nthe big red dog ran\na house\n";

TEST_F(Commands, InspectCounts) {
  const Json json = want_json({"inspect", make_model(TinyHead::kSentence)});
  EXPECT_EQ(json.find("family")->as_string(""), "bert");
  EXPECT_EQ(number(json, "hidden_size"), 32);
  double parameters = 0;
  for (const Json& part : json.find("parts")->as_array("")) parameters += number(part, "parameters");
  EXPECT_EQ(parameters, number(json, "parameters"));
  double elements = 0;
  for (const Json& tensor : json.find("tensors")->as_array("")) elements += number(tensor, "bytes") / 4;
  EXPECT_EQ(elements, parameters);
  const Json file = want_json({"inspect", path("model/model.safetensors")});
  EXPECT_EQ(file.find("tensors")->as_array("").size(), json.find("tensors")->as_array("").size());
}

TEST_F(Commands, TokenizeIsALineALine) {
  const std::string model = make_model(TinyHead::kSentence);
  std::istringstream lines(want({"tokenize", model, "--input", "-"}, "The cat, big.\n\nzoo\n"));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const Json first = Json::parse(line, "line 1");
  EXPECT_EQ(first.find("tokens")->dump(), R"(["[CLS]","the","cat",",","big",".","[SEP]"])");
  EXPECT_EQ(first.find("offsets")->dump(), "[[0,0],[0,3],[4,7],[7,8],[9,12],[12,13],[0,0]]");
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(Json::parse(line, "line 2").find("tokens")->dump(), R"(["[CLS]","[SEP]"])");
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(Json::parse(line, "line 3").find("tokens")->dump(), R"(["[CLS]","z","##o","##o","[SEP]"])");
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(Commands, EmbedWritesARowATextInOrder) {
  const std::string model = make_model(TinyHead::kSentence);
  want({"embed", model, "--input", "-", "--output", path("all.npy")}, kTexts);
  const auto rows = read_rows("all.npy");
  ASSERT_EQ(rows.size(), 4u);
  want({"embed", model, "the big red dog ran", "--output", path("one.npy"), "--threads", "1"});
  EXPECT_EQ(read_rows("one.npy").at(0), rows[2]);  // bit for bit
  for (const auto& row : rows) {
    double sum = 0;
    for (const float x : row) sum += double{x} * x;
    EXPECT_NEAR(sum, 1, 1e-6);
  }
  // JSONL holds the same floats.
  std::istringstream lines(want({"embed", model, "--input", "-"}, kTexts));
  std::string line;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    const Json json = Json::parse(line, "line");
    EXPECT_EQ(number(json, "index"), static_cast<double>(i));
    const auto& values = json.find("embedding")->as_array("");
    ASSERT_EQ(values.size(), rows[i].size());
    for (std::size_t d = 0; d < values.size(); ++d)
      EXPECT_EQ(static_cast<float>(values[d].as_double("")), rows[i][d]);
  }
}

TEST_F(Commands, EmbedTypesAndDimensions) {
  const std::string model = make_model(TinyHead::kSentence);
  const auto size_of = [&](const std::string& type) {
    want({"embed", model, "--input", "-", "--output", path("v.npy"), "--type", type}, kTexts);
    const std::string bytes = slurp("v.npy");
    return bytes.size() - bytes.find('\n') - 1;
  };
  EXPECT_EQ(size_of("float16"), 4u * 64);
  EXPECT_EQ(size_of("int8"), 4u * 32);
  EXPECT_EQ(size_of("binary"), 4u * 4);
  want({"embed", model, "--input", "-", "--output", path("full.npy"), "--no-normalize"}, kTexts);
  want({"embed", model, "--input", "-", "--output", path("short.npy"), "--no-normalize", "--dimensions", "8"},
       kTexts);
  const auto full = read_rows("full.npy"), cut = read_rows("short.npy");
  ASSERT_EQ(cut[0].size(), 8u);
  for (std::size_t i = 0; i < cut.size(); ++i)
    EXPECT_TRUE(std::equal(cut[i].begin(), cut[i].end(), full[i].begin()));
  // --tokens: [CLS] the cat [SEP]; their mean is the pooled vector.
  want({"embed", model, "the cat", "--output", path("tokens.npy"), "--tokens"});
  want({"embed", model, "the cat", "--output", path("mean.npy"), "--no-normalize"});
  const auto tokens = read_rows("tokens.npy");
  ASSERT_EQ(tokens.size(), 4u);
  for (std::size_t d = 0; d < 32; ++d) {
    const double mean = (double{tokens[0][d]} + tokens[1][d] + tokens[2][d] + tokens[3][d]) / 4;
    EXPECT_NEAR(mean, read_rows("mean.npy")[0][d], 1e-6);
  }
}

// Poolings that leave the prompt out: the mean is over the tokens after it, [SEP] included.
TEST_F(Commands, PromptIsLeftOutWhereThePoolingSaysSo) {
  const std::string model = make_model(TinyHead::kSentence);
  want({"embed", model, "sat", "--prompt", "the cat ", "--output", path("tokens.npy"), "--tokens"});
  const auto tokens = read_rows("tokens.npy");  // [CLS] the cat sat [SEP]
  ASSERT_EQ(tokens.size(), 5u);
  for (const bool included : {true, false}) {
    std::ofstream(work_ / "model" / "1_Pooling" / "config.json")
        << R"({"word_embedding_dimension":32,"pooling_mode_mean_tokens":true,"include_prompt":)"
        << (included ? "true}" : "false}");
    want({"embed", model, "sat", "--prompt", "the cat ", "--output", path("v.npy"), "--no-normalize"});
    const auto pooled = read_rows("v.npy");
    for (std::size_t d = 0; d < 32; ++d) {
      double sum = 0;
      const std::size_t first = included ? 0 : 3;
      for (std::size_t t = first; t < 5; ++t) sum += tokens[t][d];
      EXPECT_NEAR(pooled[0][d], sum / static_cast<double>(5 - first), 1e-6) << included;
    }
  }
}

TEST_F(Commands, LongTextsAreCutAndTold) {
  const std::string model = make_model(TinyHead::kSentence);
  std::string text;
  while (text.size() < 1 << 20) text += "the cat sat ";
  const ProgramResult result =
      run_program({{"embed", model, "--input", "-", "--output", path("v.npy")}, text});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.err.find("1 of 1"), std::string::npos) << result.err;
  want({"embed", model, text.substr(0, 12 * 40), "--output", path("cut.npy"), "--quiet"});
  EXPECT_EQ(read_rows("v.npy"), read_rows("cut.npy"));
  EXPECT_EQ(
      run_program({{"embed", model, std::string("\xff\xfe the cat"), "--output", path("b.npy")}}).status, 0);
}

TEST_F(Commands, ClassifyAndNer) {
  const std::string model = make_model(TinyHead::kClassifier);
  std::istringstream lines(want({"classify", model, "--input", "-", "--top-k", "0", "--json"}, kTexts));
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    double total = 0, last = 1;
    const Json scores = Json::parse(line, "line");
    for (const Json& entry : scores.as_array("")) {
      EXPECT_LE(number(entry, "score"), last);
      last = number(entry, "score");
      total += last;
    }
    EXPECT_NEAR(total, 1, 1e-9);
    ++count;
  }
  EXPECT_EQ(count, 4);
  fs::remove_all(work_ / "model");
  make_model(TinyHead::kTokens);
  for (const char* strategy : {"none", "simple", "first", "average", "max"}) {
    const std::string out =
        want({"ner", model, "the big cat sat zoo", "--aggregation-strategy", strategy, "--json"});
    const Json json = Json::parse(out, strategy);
    for (const Json& entity : json.as_array("")) {
      EXPECT_NE(entity.find(strategy == std::string("none") ? "entity" : "entity_group"), nullptr) << out;
      EXPECT_LT(number(entity, "start"), number(entity, "end")) << out;
    }
  }
}

TEST_F(Commands, AnswersAreSpansOfTheContext) {
  const std::string model = make_model(TinyHead::kAnswers);
  std::string context;
  for (int i = 0; i < 60; ++i) context += "the dog ran in a house. ";
  const std::string out = want({"qa", model, "--question", "the cat", "--context", context, "--max-length",
                                "32", "--doc-stride", "8", "--json"});
  const Json parsed = Json::parse(out, "qa");
  const Json& answer = parsed.is_array() ? parsed.as_array("").at(0) : parsed;
  const auto start = static_cast<std::size_t>(number(answer, "start")),
             end = static_cast<std::size_t>(number(answer, "end"));
  ASSERT_LT(start, end);
  EXPECT_EQ(context.substr(start, end - start), answer.find("answer")->as_string(""));
  EXPECT_GT(number(answer, "score"), 0);
}

TEST_F(Commands, FillMaskGivesTheBestWords) {
  const std::string model = make_model(TinyHead::kMasked);
  const Json one = want_json({"fill-mask", model, "the [MASK] sat", "--top-k", "3"});
  ASSERT_EQ(one.as_array("").size(), 3u);
  double last = 1;
  for (const Json& word : one.as_array("")) {
    EXPECT_LE(number(word, "score"), last);
    last = number(word, "score");
    EXPECT_TRUE(word.find("token_str")->is_string() && word.find("sequence")->is_string());
  }
  EXPECT_EQ(run_program({{"fill-mask", model, "no mask here"}}).status, 2);
}

TEST_F(Commands, RerankFindsTheTextItself) {
  const Json json = want_json({"rerank", make_model(TinyHead::kSentence), "--query", "the cat sat",
                               "a big house", "the cat sat", "the dog ran"});
  const auto& list = json.as_array("");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(number(list[0], "index"), 1);
  EXPECT_NEAR(number(list[0], "score"), 1, 1e-6);
}

TEST_F(Commands, QuantizeVerifyDequantize) {
  const std::string model = make_model(TinyHead::kSentence);
  const Json made = want_json({"quantize", model, "--out", path("q8")});
  EXPECT_GT(number(made, "ratio"), 1);
  EXPECT_TRUE(fs::exists(work_ / "q8" / "compression.json"));
  std::ofstream(work_ / "texts.txt") << kTexts;
  const Json same =
      want_json({"verify", model, "--reference", model, "--data", path("texts.txt"), "--per-layer"});
  EXPECT_EQ(number(same, "cosine_min"), 1);
  EXPECT_EQ(number(same, "max_abs_diff"), 0);
  EXPECT_GT(same.find("layers")->as_array("").size(), 4u);
  const Json near = want_json({"verify", path("q8"), "--reference", model, "--data", path("texts.txt")});
  EXPECT_LT(number(near, "cosine_min"), 1);
  EXPECT_GT(number(near, "cosine_min"), 0.95);
  const ProgramResult failed = run_program({{"verify", path("q8"), "--reference", model, "--data",
                                             path("texts.txt"), "--min-cosine", "0.9999999"}});
  EXPECT_EQ(failed.status, 5);
  EXPECT_NE(failed.err.find("cosine"), std::string::npos) << failed.err;
  want({"dequantize", path("q8"), "--out", path("back")});
  const Json back = want_json({"verify", path("back"), "--reference", model, "--data", path("texts.txt")});
  EXPECT_GT(number(back, "cosine_min"), 0.95);
}

TEST_F(Commands, BenchReportsEveryShape) {
  const std::string model = make_model(TinyHead::kSentence);
  const Json json = want_json(
      {"bench", model, "--shapes", "1x16,2x32", "--threads", "1", "--rounds", "3", "--seconds", "0.002"});
  EXPECT_GT(number(*json.find("machine"), "threads"), 0);
  const auto& rows = json.find("rows")->as_array("");
  ASSERT_GE(rows.size(), 2u);
  for (const Json& row : rows) {
    const std::string shape = row.find("shape")->as_string("");
    EXPECT_TRUE(shape == "1x16" || shape == "2x32") << shape;
    EXPECT_GT(number(row, "best_ms"), 0);
    EXPECT_LE(number(row, "best_ms"), number(row, "median_ms"));
    EXPECT_LE(number(row, "median_ms"), number(row, "p99_ms"));
    EXPECT_GT(number(row, "tokens_per_s"), 0);
    EXPECT_GT(number(row, "peak_share"), 0);
  }
}

TEST_F(Commands, Import) {
  checkpoint::CheckpointWriter writer = checkpoint::tiny_checkpoint();
  writer.write(work_ / "google/bert_model.ckpt");
  write_bytes(work_ / "google/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n");
  const Json json = want_json({"import", path("google"), "--out", path("hf")});
  int64_t parameters = 0;
  for (const auto& [name, array] : writer.arrays()) {
    if (array.dtype == 1 && name.find("adam") == std::string::npos) parameters += element_count(array.shape);
  }
  EXPECT_EQ(json.find("parameters")->as_int(""), parameters);
  EXPECT_EQ(json.find("left")->as_array("").size(), 3u) << json.dump();
  want({"embed", path("hf"), "the cat", "--pooling", "mean", "--output", path("v.npy")});
  EXPECT_EQ(read_rows("v.npy").at(0).size(), 128u);
  EXPECT_EQ(run_program({{"import", path("google"), "--out", path("hf")}}).status, 2);
  EXPECT_EQ(run_program({{"import", path("hf"), "--out", path("other")}}).status, 2);
  EXPECT_FALSE(fs::exists(work_ / "other"));
}

TEST_F(Commands, EveryWayToQuantize) {
  const std::string model = make_model(TinyHead::kMasked);
  std::ofstream(work_ / "texts.txt")
      << "the big cat sat on the mat .\na dog ran in the house\nred , red cat\nthe dog sat\n";
  int number = 0;
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {"--smooth"},
           {"--scheme", "w7a7", "--smooth"},
           {"--scheme", "w4a8", "--error-feedback"},
           {"--scheme", "w4a16", "--group-size", "16", "--awq"},
           {"--scheme", "w4a16", "--error-feedback", "--weights", "mse"},
           {"--range", "static", "--observer", "entropy", "--activations", "symmetric"},
           {"--range", "static", "--observer", "percentile", "--smooth", "--bias-correction"},
           {"--granularity", "tensor"},
           {"--keep", "2"}}) {
    const std::string out = path("q" + std::to_string(number++));
    std::vector<std::string> command = {"quantize", model, "--out", out, "--calibration", path("texts.txt")};
    command.insert(command.end(), flags.begin(), flags.end());
    const Json made = want_json(command);
    EXPECT_EQ(made.find("details")->find("quantized_linear_layers")->as_int(""),
              flags[0] == "--keep" ? 10 : 12);
    const Json verdict = want_json({"verify", out, "--reference", model, "--data", path("texts.txt")});
    const bool coarse = flags[1 % flags.size()].starts_with("w4");
    EXPECT_GT(verdict.find("cosine_mean")->as_double(""), coarse ? 0.9 : 0.99) << flags[0] << " " << number;
  }
}

TEST_F(Commands, CalibrationFileGivesTheSameModel) {
  const std::string model = make_model(TinyHead::kSentence);
  std::ofstream(work_ / "texts.txt") << "the big cat sat on the mat .\na dog ran in the house\n";
  const Json made = want_json({"calibrate", model, "--calibration", path("texts.txt"), "--out", path("s")});
  EXPECT_EQ(made.find("inputs")->as_object("").size(), 8u);
  want({"quantize", model, "--smooth", "--calibration", path("texts.txt"), "--out", path("a")});
  want({"quantize", model, "--smooth", "--statistics", path("s"), "--out", path("b")});
  EXPECT_EQ(slurp("a/model.safetensors"), slurp("b/model.safetensors"));
  want({"quantize", model, "--range", "static", "--observer", "mse", "--statistics", path("s"), "--out",
        path("c")});
  // Texts that ship with the program stand in where none are given; their word pieces exist in any
  // vocabulary.
  want({"quantize", model, "--smooth", "--samples", "20", "--out", path("d")});
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"--scheme", "w8a16", "--range", "static"},
                                             {"--smooth", "--awq"},
                                             {"--granularity", "tensor", "--error-feedback"}}) {
    std::vector<std::string> command = {"quantize", model, "--out", path("no")};
    command.insert(command.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(run_program({command}).status, 2) << wrong[0];
  }
  EXPECT_FALSE(fs::exists(work_ / "no"));
}

TEST_F(Commands, Eval) {
  const std::string model = make_model(TinyHead::kSentence);
  fs::create_directories(work_ / "data");
  std::ofstream train(work_ / "data/train.csv"), test(work_ / "data/test.csv");
  train << "text,label\n", test << "text,label\n";
  for (int i = 0; i < 12; ++i) train << "the cat sat on the mat,animal\na big red house .,thing\n";
  test << "the cat sat on the mat,animal\n\"a big red house .\",thing\nthe cat sat on the mat,thing\n";
  train.close(), test.close();
  const Json json =
      want_json({"eval", model, "--task", "classification", "--data", path("data"), "--reference", model});
  EXPECT_EQ(json.find("examples")->as_int(""), 3);
  EXPECT_NEAR(json.find("metrics")->find("accuracy")->find("value")->as_double(""), 2.0 / 3, 1e-9);
  EXPECT_EQ(json.find("agreement")->find("equal")->as_double(""), 1);
  EXPECT_EQ(json.find("agreement")->find("differences")->find("accuracy")->find("p")->as_double(""), 1);
  std::ofstream(work_ / "pairs.tsv")
      << "sentence1\tsentence2\tscore\nthe cat\tthe cat\t5\nthe cat\ta house\t1\ndog ran\tthe dog ran\t4\n";
  const Json pairs = want_json({"eval", model, "--task", "stsb", "--data", path("pairs.tsv")});
  EXPECT_EQ(pairs.find("main_metric")->as_string(""), "spearmanr");
  // Of the embeddings the first numbers alone: all of them are the whole, more there are not.
  const auto spearman = [&](const char* dimensions) {
    return want_json(
               {"eval", model, "--task", "stsb", "--data", path("pairs.tsv"), "--dimensions", dimensions})
        .find("metrics")
        ->find("spearmanr")
        ->find("value")
        ->as_double("value");
  };
  EXPECT_EQ(spearman("32"), pairs.find("metrics")->find("spearmanr")->find("value")->as_double("value"));
  EXPECT_EQ(
      run_program({{"eval", model, "--task", "stsb", "--data", path("pairs.tsv"), "--dim", "33"}}).status, 2);
  EXPECT_EQ(run_program({{"eval", model, "--task", "stbs", "--data", path("pairs.tsv")}}).status, 2);
  EXPECT_EQ(run_program({{"eval", model, "--task", "classification", "--data", path("pairs.tsv")}}).status,
            2);
  EXPECT_EQ(run_program({{"eval", model, "--task", "stsb", "--data", path("nothing")}}).status, 6);
}

TEST_F(Commands, Probe) {
  const std::string model = make_model(TinyHead::kSentence);
  fs::create_directories(work_ / "data");
  std::ofstream train(work_ / "data/train.csv"), test(work_ / "data/test.csv");
  train << "text,label\n", test << "text,label\n";
  for (int i = 0; i < 10; ++i)
    train << "the cat sat on the mat,animal\na big red house .,thing\ndog ran in,motion\n";
  test << "the cat sat on the mat,animal\na big red house .,thing\ndog ran in,motion\n";
  train.close(), test.close();
  const Json json = want_json({"probe", model, "--data", path("data"), "--out", path("classifier")});
  EXPECT_EQ(json.find("test")->find("accuracy")->as_double(""), 1);
  EXPECT_EQ(json.find("classes")->as_int(""), 3);
  // An ordinary classifier, in FP32 and INT8, that refuses to be probed again.
  const ProgramResult label =
      run_program({{"classify", path("classifier"), "dog ran in", "a big red house ."}});
  EXPECT_EQ(label.status, 0) << label.err;
  EXPECT_EQ(label.out.find("motion"), 0u) << label.out;
  EXPECT_NE(label.out.find("thing"), std::string::npos);
  EXPECT_EQ(run_program({{"quantize", path("classifier"), "--out", path("int8")}}).status, 0);
  const Json eval = want_json({"eval", path("int8"), "--task", "classification", "--data", path("data"),
                               "--reference", path("classifier")});
  EXPECT_EQ(eval.find("how")->as_string(""), "own head");
  EXPECT_EQ(eval.find("metrics")->find("accuracy")->find("value")->as_double(""), 1);
  EXPECT_EQ(run_program({{"probe", path("classifier"), "--data", path("data"), "--out", path("x")}}).status,
            2);
  EXPECT_EQ(run_program({{"probe", model, "--data", path("data"), "--out", path("classifier")}}).status, 2);
  EXPECT_EQ(
      run_program({{"probe", model, "--data", path("data"), "--out", path("x"), "--pooling", "cls"}}).status,
      2);
  std::ofstream(work_ / "one.csv") << "text,label\nthe cat,a\na dog,a\n";
  EXPECT_EQ(run_program({{"probe", model, "--data", path("one.csv"), "--out", path("x")}}).status, 2);
  EXPECT_FALSE(fs::exists(work_ / "x"));
  // An encoder without a pooling gets the one that is asked for.
  fs::remove_all(model);
  const std::string bare = make_model(TinyHead::kMasked);
  EXPECT_EQ(run_program({{"probe", bare, "--data", path("data"), "--out", path("y")}}).status, 2);
  EXPECT_EQ(
      run_program({{"probe", bare, "--data", path("data"), "--out", path("y"), "--pooling", "mean"}}).status,
      0);
  EXPECT_EQ(run_program({{"classify", path("y"), "dog ran in"}}).out.find("motion"), 0u);
  EXPECT_EQ(run_program({{"eval", bare, "--task", "masked", "--data", path("one.csv")}}).status, 0);
}

TEST_F(Commands, RunResumeStatus) {
  const std::string model = make_model(TinyHead::kSentence);
  std::ofstream(work_ / "texts.txt") << "the cat sat on the mat\na big red house .\ndog ran in\n";
  std::ofstream(work_ / "recipe.json") << R"({"model": "./model", "data": "texts.txt",
    "calibration": {"texts": "texts.txt"},
    "steps": [{"method": "quantize", "smooth": true}, {"method": "dequantize"},
              {"method": "quantize", "scheme": "w8a16"}],
    "goals": [{"metric": "cosine_mean", "type": "threshold", "value": 0.5}]})";
  const Json report = want_json({"run", path("recipe.json"), "--out", path("run")});
  ASSERT_EQ(report.find("steps")->as_array("").size(), 4u);
  EXPECT_TRUE(report.find("goals_met")->as_bool(""));
  EXPECT_GT(report.find("steps")->as_array("")[1].find("measured")->find("size_ratio")->as_double(""), 2);
  for (const char* name : {"model/config.json", "report.html", "report.json", "recipe.json",
                           "steps/1-quantize/model.safetensors"})
    EXPECT_TRUE(fs::exists(work_ / "run" / name)) << name;
  EXPECT_EQ(run_program({{"embed", path("run/model"), "the cat"}}).status, 0);
  const Json status = want_json({"status", path("run")});
  EXPECT_EQ(status.find("state")->as_string(""), "done");
  EXPECT_EQ(status.find("steps")->as_array("")[1].find("state")->as_string(""), "done");
  // Nothing is done twice; a changed last step leaves the first; a goal that is not met is exit status 3.
  const auto first_made = fs::last_write_time(work_ / "run/steps/1-quantize/model.safetensors");
  EXPECT_EQ(run_program({{"resume", path("run")}}).status, 0);
  const auto last = work_ / "run/steps/3-quantize/model.safetensors";
  const auto size = fs::file_size(last);
  EXPECT_EQ(run_program({{"run", path("recipe.json"), "--out", path("run"), "--set", "steps.2.scheme=w4a16",
                          "--set", "goals.0.value=1.5"}})
                .status,
            3);
  EXPECT_EQ(fs::last_write_time(work_ / "run/steps/1-quantize/model.safetensors"), first_made);
  EXPECT_NE(fs::file_size(last), size);
  EXPECT_EQ(want_json({"run", "--schema"}).find("title")->as_string(""), "Penjing recipe");
  const Json plan = want_json({"run", path("recipe.json"), "--dry-run", "--set", "steps.0.scheme=w7a8"});
  EXPECT_EQ(plan.find("steps")->as_array("")[0].find("scheme")->as_string(""), "w7a8");
  EXPECT_EQ(run_program({{"run", path("recipe.json"), "--out", path("data")}}).status, 0);
  EXPECT_EQ(run_program({{"run", path("recipe.json")}}).status, 2);
  EXPECT_EQ(run_program({{"run", path("recipe.json"), "--out", model}}).status, 2);
  EXPECT_EQ(run_program({{"resume", model}}).status, 2);
  EXPECT_EQ(run_program({{"status", model}}).status, 2);
}

}  // namespace
}  // namespace penjing
