#include "io/model_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "base/error.h"
#include "io/safetensors.h"
#include "tests/base/test_folder.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

void write_tiny(const std::filesystem::path& folder) {
  const Model model = tiny_bert("bert.");
  std::filesystem::create_directories(folder);
  write_safetensors(folder / "model.safetensors", model.tensors);
  write_bytes(folder / "config.json", model.config.dump());
  write_bytes(folder / "vocab.txt", "[PAD]\n[UNK]\n");
}

// The tiny model in two shards with their index.
void write_sharded(const std::filesystem::path& folder, const std::function<void(Json&)>& change = {}) {
  const Model model = tiny_bert();
  TensorMap shards[2];
  Json map = Json::object();
  int i = 0;
  for (const auto& [name, tensor] : model.tensors) {
    const int shard = i++ % 2;
    shards[shard].set(name, tensor);
    map.set(name, shard == 0 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors");
  }
  std::filesystem::create_directories(folder);
  write_safetensors(folder / "model-00001-of-00002.safetensors", shards[0]);
  write_safetensors(folder / "model-00002-of-00002.safetensors", shards[1]);
  if (change) change(map);
  const Json index = Json::object({{"metadata", Json::object()}, {"weight_map", map}});
  write_bytes(folder / "model.safetensors.index.json", index.dump());
  write_bytes(folder / "config.json", model.config.dump());
}

TEST(ModelFolder, ReadsAndWritesBack) {
  const TestFolder folder("folder-round");
  write_tiny(folder / "in");
  Model model = read_model(folder / "in");
  EXPECT_NE(model.tensors.find("encoder.layer.0.output.dense.weight"), nullptr);
  model.config.set("a_key_of_tomorrow", "kept");
  write_model(model, folder / "out", {{"note.txt", "hello"}});
  const Model again = read_model(folder / "out");
  EXPECT_EQ(again.tensors.size(), model.tensors.size());
  EXPECT_EQ(again.config.find("a_key_of_tomorrow")->as_string(""), "kept");
  EXPECT_EQ(read_bytes(folder / "out/vocab.txt"), "[PAD]\n[UNK]\n");
  EXPECT_EQ(read_bytes(folder / "out/note.txt"), "hello");
  // Never over its input, nor over anything that is there.
  EXPECT_NE(error_of([&] { write_model(model, folder / "in"); }).find("the output is the input"),
            std::string::npos);
  EXPECT_NE(error_of([&] { write_model(model, folder / "out"); }).find("not empty"), std::string::npos);
  std::filesystem::create_directories(folder / "empty");
  write_model(model, folder / "empty");
  EXPECT_TRUE(std::filesystem::exists(folder / "empty/model.safetensors"));
}

TEST(ModelFolder, ShardsAreOneModel) {
  const TestFolder folder("folder-shards");
  write_sharded(folder / "m");
  const Model model = read_model(folder / "m");
  EXPECT_EQ(model.tensors.size(), tiny_bert().tensors.size());
  std::vector<std::filesystem::path> files;
  (void)read_model_tensors(folder / "m", &files);
  EXPECT_EQ(files.size(), 2u);
}

TEST(ModelFolder, HostileIndexes) {
  struct Case {
    const char* shard;    // put in place of the first tensor's
    const char* message;  // in the error
  };
  const Case cases[] = {{"../secret.safetensors", "not a plain file name"},
                        {"/etc/passwd", "not a plain file name"},
                        {"sub/model.safetensors", "not a plain file name"},
                        {"a\\b.safetensors", "not a plain file name"},
                        {"..", "not a path inside the folder"},
                        {".", "not a path inside the folder"},
                        {"", "not a path inside the folder"},
                        {"model-00003-of-00003.safetensors", "missing"},
                        {"model-00002-of-00002.safetensors", "is not in shard"}};
  int number = 0;
  for (const Case& c : cases) {
    const TestFolder folder("folder-index-" + std::to_string(number++));
    write_sharded(folder / "m", [&](Json& map) { map.set("embeddings.word_embeddings.weight", c.shard); });
    const std::string message = error_of([&] { (void)read_model(folder / "m"); });
    EXPECT_NE(message.find(c.message), std::string::npos) << c.shard << ": " << message;
  }
  const TestFolder folder("folder-index");
  write_sharded(folder / "m");
  const auto index = folder / "m/model.safetensors.index.json";
  for (const char* text : {"", "[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":1}}",
                           "{\"weight_map\":{\"a\":\"x\",\"a\":\"x\"}}", "{\"weight_map\":{}} trailing"}) {
    write_bytes(index, text);
    EXPECT_NE(error_of([&] { (void)read_model(folder / "m"); }).find("index.json"), std::string::npos)
        << text;
  }
  // A shard with a tensor that the index does not list.
  write_sharded(folder / "extra", [](Json& map) {
    Json fewer = Json::object();
    for (const auto& [name, shard] : map.as_object("")) {
      if (name != "embeddings.LayerNorm.bias") fewer.set(name, shard);
    }
    map = fewer;
  });
  EXPECT_NE(error_of([&] { (void)read_model(folder / "extra"); }).find("does not list"), std::string::npos);
}

TEST(ModelFolder, LinksOutOfTheFolderAreRefused) {
  const TestFolder folder("folder-links");
  write_tiny(folder / "secret");
  std::filesystem::create_directories(folder / "m");
  std::filesystem::copy_file(folder / "secret/config.json", folder / "m/config.json");
  std::filesystem::create_symlink("../secret/model.safetensors", folder / "m/model.safetensors");
  EXPECT_NE(error_of([&] { (void)read_model(folder / "m"); }).find("out of the model folder"),
            std::string::npos);
  std::filesystem::remove(folder / "m/model.safetensors");
  std::filesystem::copy_file(folder / "secret/model.safetensors", folder / "m/model.safetensors");
  std::filesystem::create_symlink(folder / "secret/vocab.txt", folder / "m/vocab.txt");
  EXPECT_NE(error_of([&] { (void)read_model(folder / "m"); }).find("out of the model folder"),
            std::string::npos);
  // A link inside is a file like any other.
  std::filesystem::remove(folder / "m/vocab.txt");
  std::filesystem::create_symlink("config.json", folder / "m/other.json");
  EXPECT_EQ(error_of([&] { (void)read_model(folder / "m"); }), "");
}

// models--org--name/{blobs,refs,snapshots}: what the Hugging Face cache looks like; files link into
// ../../blobs.
TEST(ModelFolder, SnapshotOfTheHuggingFaceCache) {
  const TestFolder folder("folder-snapshot");
  const auto repository = folder / "hub/models--org--tiny";
  write_tiny(folder / "source");
  const auto snapshot = repository / "snapshots" / "0123abcd";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directories(repository / "blobs");
  for (const char* name : {"config.json", "model.safetensors", "vocab.txt"}) {
    std::filesystem::copy_file(folder / ("source/" + std::string(name)),
                               repository / "blobs" / (std::string("sha-") + name));
    std::filesystem::create_symlink(std::string("../../blobs/sha-") + name, snapshot / name);
  }
  write_bytes(repository / "refs/main", "0123abcd\n");
  ::setenv("HF_HUB_CACHE", (folder / "hub").c_str(), 1);
  const auto resolved = resolve_model("org/tiny");
  ::unsetenv("HF_HUB_CACHE");
  EXPECT_EQ(resolved, snapshot);
  EXPECT_EQ(read_model(resolved).side_files.size(), 1u);
  // A link that passes through blobs to elsewhere is not one of the cache's.
  std::filesystem::remove(snapshot / "vocab.txt");
  std::filesystem::create_symlink("../../blobs/../../../source/vocab.txt", snapshot / "vocab.txt");
  EXPECT_NE(error_of([&] { (void)read_model(resolved); }).find("out of the model folder"), std::string::npos);
}

TEST(ModelFolder, WhatIsMissingIsSaid) {
  const TestFolder folder("folder-missing");
  EXPECT_NE(error_of([&] { (void)resolve_model(folder / "nothing"); }).find("looked at"), std::string::npos);
  EXPECT_NE(error_of([&] { (void)resolve_model(""); }).find("empty"), std::string::npos);
  std::filesystem::create_directories(folder / "m");
  EXPECT_NE(error_of([&] { (void)read_model(folder / "m"); }).find("no config.json"), std::string::npos);
  write_bytes(folder / "m/config.json", "{\"model_type\":\"bert\"}");
  EXPECT_NE(error_of([&] { (void)read_model(folder / "m"); }).find("no model.safetensors"),
            std::string::npos);
  write_bytes(folder / "m/model.onnx", "x");
  EXPECT_NE(error_of([&] { (void)read_model(folder / "m"); }).find("model.onnx"), std::string::npos);
  write_bytes(folder / "m/pytorch_model.bin", "x");
  const std::string message = error_of([&] { (void)read_model(folder / "m"); });
  EXPECT_NE(message.find("never read"), std::string::npos) << message;
  EXPECT_NE(message.find("save_pretrained"), std::string::npos) << message;
  for (const char* text : {"", "[]", "7", "{\"a\":1,\"a\":2}", "{\"model_type\":\"bert\"} x", "\xff"}) {
    write_bytes(folder / "m/config.json", text);
    EXPECT_NE(error_of([&] { (void)read_model(folder / "m"); }).find("config.json"), std::string::npos)
        << text;
  }
}

TEST(ModelFolder, FolderThatCannotBeWritten) {
  const TestFolder folder("folder-blocked");
  write_tiny(folder / "in");
  const Model model = read_model(folder / "in");
  write_bytes(folder / "file", "x");
  EXPECT_NE(error_of([&] { write_model(model, folder / "file"); }), "");
  EXPECT_NE(error_of([&] { write_model(model, folder / "file/below"); }), "");
  EXPECT_EQ(read_bytes(folder / "file"), "x");
}

}  // namespace
}  // namespace penjing
