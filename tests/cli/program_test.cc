// The built program as a process: exit codes, help, JSON, and what stays on disk when something goes wrong.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "base/json.h"
#include "base/rng.h"
#include "io/model_folder.h"
#include "io/safetensors.h"

namespace penjing {
namespace {

struct Outcome {
  int status = -1;
  std::string out, err;
};

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/penjing_cli_XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::filesystem::path path;

  // Runs the program through the shell, so that redirections can be part of `arguments`.
  Outcome run(const std::string& arguments) const {
    const std::string command = "cd '" + path.string() + "' && '" PENJING_BINARY_DIR "/penjing' " +
                                arguments + " > out.log 2> err.log < /dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(path / "out.log"),
            slurp(path / "err.log")};
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }
};

// A tiny random BERT with tokenizer, pooling and masked-word head.
void write_tiny_model(const std::filesystem::path& folder) {
  const std::vector<std::string> vocab = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a",
                                          "cat",   "sat",   "##s",   "tree",  ".",      "b"};
  constexpr int64_t kHidden = 16, kInner = 32, kPositions = 24;
  Model model;
  model.config = Json::parse(
      R"({"model_type":"bert","architectures":["BertForMaskedLM"],"hidden_size":16,"num_hidden_layers":2,
    "num_attention_heads":2,"intermediate_size":32,"vocab_size":12,"max_position_embeddings":24,"type_vocab_size":2,"hidden_act":"gelu","my_key":[1,2]})",
      "tiny");
  Rng rng(5);
  const auto add = [&](const std::string& name, Shape shape, float scale = 0.3f, float base = 0) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (float& v : values) v = base + scale * rng.normal();
    model.tensors.set(name, Tensor::from_floats(shape, values));
  };
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in}), add(name + ".bias", {out});
  };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight", {kHidden}, 0.1f, 1), add(name + ".bias", {kHidden}, 0.1f);
  };
  add("bert.embeddings.word_embeddings.weight", {12, kHidden});
  add("bert.embeddings.position_embeddings.weight", {kPositions, kHidden});
  add("bert.embeddings.token_type_embeddings.weight", {2, kHidden});
  add_norm("bert.embeddings.LayerNorm");
  for (int layer = 0; layer < 2; ++layer) {
    const std::string base = "bert.encoder.layer." + std::to_string(layer) + ".";
    for (const char* part : {"query", "key", "value"})
      add_linear(base + "attention.self." + part, kHidden, kHidden);
    add_linear(base + "attention.output.dense", kHidden, kHidden);
    add_norm(base + "attention.output.LayerNorm");
    add_linear(base + "intermediate.dense", kInner, kHidden);
    add_linear(base + "output.dense", kHidden, kInner);
    add_norm(base + "output.LayerNorm");
  }
  add_linear("cls.predictions.transform.dense", kHidden, kHidden);
  add_norm("cls.predictions.transform.LayerNorm");
  add("cls.predictions.bias", {12});
  std::string text;
  for (const auto& token : vocab) text += token + "\n";
  model.side_files = {
      {"vocab.txt", text},
      {"modules.json",
       R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},{"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}])"},
      {"1_Pooling/config.json", R"({"word_embedding_dimension":16,"pooling_mode_mean_tokens":true})"}};
  write_model(model, folder);
}

class Program : public testing::Test {
 protected:
  void SetUp() override { write_tiny_model(scratch.path / "tiny"); }
  Scratch scratch;
};

TEST_F(Program, EveryCommandTeachesWithAnExample) {
  const std::string help = scratch.run("--help").out;
  EXPECT_EQ(scratch.run("--version").out.substr(0, 8), "penjing ");
  for (const char* verb : {"import", "inspect", "tokenize", "embed", "classify", "ner", "qa", "fill-mask",
                           "rerank", "verify", "bench", "quantize", "dequantize"}) {
    EXPECT_NE(help.find(verb), std::string::npos) << verb;
    const Outcome outcome = scratch.run(std::string(verb) + " --help");
    EXPECT_EQ(outcome.status, 0) << verb;
    EXPECT_NE(outcome.out.find("xample"), std::string::npos) << verb;
    EXPECT_NE(outcome.out.find(std::string("penjing ") + verb), std::string::npos) << verb;
  }
}

TEST_F(Program, ExitCodesTellTheKindOfError) {
  EXPECT_EQ(scratch.run("").status, 2);
  const Outcome unknown = scratch.run("quantise tiny --out x");
  EXPECT_EQ(unknown.status, 2);
  EXPECT_NE(unknown.err.find("\"quantize\""), std::string::npos) << unknown.err;
  EXPECT_EQ(scratch.run("embed nowhere text").status, 2);
  EXPECT_NE(scratch.run("embed nowhere text").err.find("looked at"), std::string::npos);
  EXPECT_EQ(scratch.run("embed tiny").status, 2);
  EXPECT_EQ(scratch.run("embed tiny --input missing.txt").status, 6);
  EXPECT_EQ(scratch.run("quantize tiny --out q --scheme w9a9").status, 2);
  EXPECT_EQ(scratch.run("quantize tiny --out q --exclude 'no.such.*'").status, 2);
  EXPECT_EQ(scratch.run("classify tiny text").status, 4);
  scratch.write("bad.safetensors", "123456789");
  EXPECT_EQ(scratch.run("inspect bad.safetensors").status, 4);
  const Outcome json = scratch.run("inspect bad.safetensors --json");
  EXPECT_EQ(Json::parse(json.err, "stderr").find("exit_code")->as_int(""), 4);
}

TEST_F(Program, CompressionKeepsWhatItShould) {
  EXPECT_EQ(scratch.run("quantize tiny --out q --json").status, 0)
      << scratch.run("quantize tiny --out q2").err;
  const Json report = Json::parse(scratch.run("quantize tiny --out q3 --json").out, "stdout");
  EXPECT_GT(report.find("ratio")->as_double(""), 1.0);
  const Model q = read_model(scratch.path / "q");
  EXPECT_EQ(q.tensors.at("encoder.layer.0.intermediate.dense.weight").type, DType::kI8);
  EXPECT_EQ(q.config.find("my_key")->dump(), "[1,2]");
  EXPECT_TRUE(std::filesystem::exists(scratch.path / "q" / "1_Pooling" / "config.json"));
  const Json record = Json::parse(slurp(scratch.path / "q" / "compression.json"), "compression.json");
  EXPECT_EQ(record.find("inputs")->as_array("")[0].find("sha256")->as_string("").size(), 64u);
  EXPECT_NE(slurp(scratch.path / "q" / "README.md").find("base_model: tiny"), std::string::npos);
  EXPECT_EQ(scratch.run("quantize tiny --out q").status, 2) << "an output that is not empty";
  EXPECT_EQ(scratch.run("quantize tiny --out tiny").status, 2) << "the input as output";
  EXPECT_EQ(scratch.run("quantize q --out qq").status, 2) << "quantized already";
  EXPECT_EQ(scratch.run("dequantize q --out back").status, 0);
  scratch.write("t.txt", "a cat sat.\ntrees\n\na b cat\n");
  EXPECT_EQ(scratch.run("verify back --reference q --data t.txt --min-cosine 0.999").status, 0);
  EXPECT_EQ(scratch.run("verify q --reference tiny --data t.txt --min-cosine 1.1").status, 5);
}

TEST_F(Program, OutputsOfTheInterface) {
  scratch.write("t.txt", "A cat sat.\n\ntrees\r\nlast");
  ASSERT_EQ(scratch.run("tokenize tiny --input t.txt --output t.jsonl").status, 0);
  std::ifstream lines(scratch.path / "t.jsonl");
  std::vector<Json> parsed;
  for (std::string line; std::getline(lines, line);) parsed.push_back(Json::parse(line, "t.jsonl"));
  ASSERT_EQ(parsed.size(), 4u);
  EXPECT_EQ(
      parsed[0].dump(),
      R"({"ids":[2,5,6,7,10,3],"tokens":["[CLS]","a","cat","sat",".","[SEP]"],"offsets":[[0,0],[0,1],[2,5],[6,9],[9,10],[0,0]]})");
  EXPECT_EQ(parsed[1].find("ids")->dump(), "[2,3]");

  ASSERT_EQ(scratch.run("embed tiny --input t.txt --output v.npy").status, 0);
  const std::string npy = slurp(scratch.path / "v.npy");
  EXPECT_NE(npy.find("'shape': (4, 16)"), std::string::npos);
  EXPECT_EQ(npy.size() % 64, (4 * 16 * 4) % 64u);
  for (const char* type : {"float16", "int8", "binary"})
    EXPECT_EQ(scratch.run(std::string("embed tiny --input t.txt --output v2.npy --type ") + type).status, 0);

  const Json masks =
      Json::parse(scratch.run("fill-mask tiny 'a [MASK] sat.' --top-k 3 --json").out, "stdout");
  ASSERT_EQ(masks.as_array("").size(), 3u);
  for (const char* key : {"score", "token", "token_str", "sequence"})
    EXPECT_TRUE(masks.as_array("")[0].contains(key)) << key;

  const Json verify = Json::parse(
      scratch.run("verify tiny --reference tiny --data t.txt --per-layer --json -q").out, "stdout");
  for (const char* key : {"cosine_mean", "cosine_min", "max_abs_diff", "layers"})
    EXPECT_TRUE(verify.contains(key)) << key;
  EXPECT_EQ(verify.find("cosine_min")->as_double(""), 1.0);
  EXPECT_GT(verify.find("layers")->as_array("").size(), 10u);

  const Outcome timed =
      scratch.run("bench tiny --shapes 1x8,3x12 --rounds 3 --seconds 0.01 --json -q --against tiny");
  ASSERT_EQ(timed.status, 0) << timed.err;
  const Json bench = Json::parse(timed.out, "stdout");
  for (const char* key : {"shape", "best_ms", "median_ms", "p99_ms", "tokens_per_s", "peak_share"}) {
    EXPECT_TRUE(bench.find("rows")->as_array("")[0].contains(key)) << key;
  }
  EXPECT_EQ(bench.find("verdicts")->as_array("")[0].find("shape")->as_string(""), "1x8");
  EXPECT_EQ(Json::parse(scratch.run("inspect tiny --json").out, "stdout").find("layers")->as_int(""), 2);
}

TEST_F(Program, HardTextsAreTexts) {
  std::string megabyte;
  while (megabyte.size() < (1u << 20)) megabyte += "cat sat ";
  scratch.write("t.txt", megabyte + "\n\n\xff\xfe\n" + std::string(1, '\0') + "\n");
  const Outcome outcome = scratch.run("embed tiny --input t.txt --output v.npy");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("1 of 4 texts were cut to 24 tokens"), std::string::npos) << outcome.err;
}

TEST_F(Program, NothingHalfWrittenIsLeft) {
  const auto leftovers = [&] {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path))
      count += entry.path().string().find(".tmp-") != std::string::npos ? 1 : 0;
    return count;
  };
  scratch.write("t.txt", "a cat\n");
  EXPECT_EQ(scratch.run("embed tiny --input t.txt --output missing/folder/v.npy").status, 6);
  // A limit on file size stands for a full disk.
  const std::string limited = "bash -c 'ulimit -f 4; trap \"\" XFSZ; exec \"" PENJING_BINARY_DIR
                              "/penjing\" quantize tiny --out big'";
  const int status =
      std::system(("cd '" + scratch.path.string() + "' && " + limited + " > /dev/null 2>&1").c_str());
  EXPECT_EQ(WEXITSTATUS(status), 6);
  EXPECT_FALSE(std::filesystem::exists(scratch.path / "big"));
  EXPECT_EQ(leftovers(), 0);
}

TEST_F(Program, PoisonedWeightsAreNamed) {
  Model model = read_model(scratch.path / "tiny");
  std::vector<float> values = read_floats(model.tensors.at("encoder.layer.1.output.dense.bias"), "bias");
  values[3] = std::numeric_limits<float>::quiet_NaN();
  model.tensors.set("encoder.layer.1.output.dense.bias", Tensor::from_floats({16}, values));
  write_model(model, scratch.path / "nan");
  const Outcome quantize = scratch.run("quantize nan --out q");
  EXPECT_EQ(quantize.status, 4);
  EXPECT_NE(quantize.err.find("encoder.layer.1.output.dense.bias: element 3 is nan"), std::string::npos)
      << quantize.err;
  EXPECT_EQ(scratch.run("embed nan 'a cat'").status, 4);
}

}  // namespace
}  // namespace penjing
