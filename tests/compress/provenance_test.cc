#include "compress/provenance.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/version.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

const StepRecord kStep = {"quantize", Json::object({{"scheme", "w8a8"}}), Json::object({{"layers", 12}})};

std::string file_of(const std::vector<SideFile>& files, const std::string& path) {
  for (const SideFile& file : files) {
    if (file.path == path) return std::string(file.text());
  }
  return "no file " + path;
}

Json record_of(const std::vector<SideFile>& files) {
  return Json::parse(file_of(files, "compression.json"), "compression.json");
}

std::string card_of(const std::string& old_card) {
  Model model = tiny_classifier();
  if (!old_card.empty()) model.side_files.push_back({"README.md", old_card});
  return file_of(describe_provenance(model, kStep, 1, 1, nullptr), "README.md");
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Provenance, RecordsInputsStepSizesAndVersion) {
  const TestFolder root("provenance");
  write_model(tiny_classifier(), root / "source");
  const Model source = read_model(root / "source");
  const Json agreement = Json::object({{"cosine_mean", 0.999}});
  const Json record = record_of(describe_provenance(source, kStep, 4000, 1000, agreement));
  EXPECT_EQ(*record.find("penjing"), Json(version()));
  EXPECT_EQ(*record.find("bytes_before"), Json(4000));
  EXPECT_EQ(*record.find("bytes_after"), Json(1000));
  EXPECT_EQ(*record.find("agreement"), agreement);
  const auto& inputs = record.find("inputs")->as_array("inputs");
  ASSERT_EQ(inputs.size(), 1u);
  EXPECT_EQ(*inputs[0].find("file"), Json("model.safetensors"));
  EXPECT_EQ(*inputs[0].find("sha256"), Json(sha256_file(root / "source/model.safetensors")));
  const auto& steps = record.find("steps")->as_array("steps");
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0],
            Json::object({{"method", "quantize"}, {"params", kStep.params}, {"details", kStep.details}}));
}

// Three steps, each written to disk and read again: the list grows, in order.
TEST(Provenance, KeepsEarlierSteps) {
  const TestFolder root("provenance");
  write_model(tiny_classifier(), root / "0");
  const char* const methods[] = {"prune", "quantize", "dequantize"};
  for (int i = 0; i < 3; ++i) {
    const Model source = read_model(root / std::to_string(i));
    const StepRecord step = {methods[i], Json::object({{"number", i}}), Json::object()};
    write_model(source, root / std::to_string(i + 1), describe_provenance(source, step, 2, 1, nullptr));
  }
  const Json record = Json::parse(read_bytes(root / "3/compression.json"), "compression.json");
  const auto& steps = record.find("steps")->as_array("steps");
  ASSERT_EQ(steps.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(*steps[i].find("method"), Json(methods[i]));
    EXPECT_EQ(*steps[i].find("params")->find("number"), Json(static_cast<int>(i)));
  }
  const std::string card = read_bytes(root / "3/README.md");
  EXPECT_EQ(count(card, "library_name:"), 1u);
  EXPECT_EQ(count(card, "> Compressed with Penjing"), 3u);
}

TEST(Provenance, ABrokenRecordOfAnEarlierStepIsNamed) {
  const TestFolder root("provenance");
  write_model(tiny_classifier(), root / "source");
  write_bytes(root / "source/compression.json", "{\"steps\": [");
  const Model source = read_model(root / "source");
  const Error error = error_of([&] { (void)describe_provenance(source, kStep, 1, 1, nullptr); });
  EXPECT_EQ(error.kind(), ErrorKind::kFormat);
  EXPECT_TRUE(says(error, "compression.json")) << error.what();
}

TEST(Provenance, AModelMadeInMemoryHasNoInputs) {
  const Json record = record_of(describe_provenance(tiny_classifier(), kStep, 1, 1, nullptr));
  EXPECT_EQ(*record.find("inputs"), Json::array());
  EXPECT_EQ(record.find("steps")->as_array("steps").size(), 1u);
}

TEST(ModelCard, NewHead) {
  const std::string card = card_of("");
  EXPECT_TRUE(
      card.starts_with("---\nbase_model: unknown\nbase_model_relation: quantized\n"
                       "library_name: penjing\ntags:\n- penjing\n- quantize\n---\n\n> Compressed"))
      << card;
  EXPECT_NE(card.find(R"(`quantize` with `{"scheme":"w8a8"}`)"), std::string::npos) << card;
}

TEST(ModelCard, MergesWithAnExistingHead) {
  const std::string card = card_of(
      "---\nlanguage: en\nlibrary_name: sentence-transformers\ntags:\n- mteb\n---\n# Title\n\nBody.\n");
  EXPECT_TRUE(
      card.starts_with("---\nlanguage: en\nlibrary_name: sentence-transformers\ntags:\n- mteb\n"
                       "base_model: unknown\nbase_model_relation: quantized\n---\n"))
      << card;
  EXPECT_TRUE(card.ends_with("\n\n# Title\n\nBody.\n")) << card;
  EXPECT_EQ(count(card, "library_name:"), 1u);
  EXPECT_EQ(count(card, "tags:"), 1u);
  EXPECT_EQ(count(card, "\n---\n"), 1u);
}

TEST(ModelCard, KeepsTheBaseModelOfItsAuthor) {
  const std::string card = card_of("---\nbase_model: someone/else\n---\n\n# Tiny\n\nText with --- in it.\n");
  EXPECT_TRUE(card.starts_with("---\nbase_model: someone/else\nbase_model_relation: quantized\n")) << card;
  EXPECT_EQ(count(card, "base_model:"), 1u);
  EXPECT_TRUE(card.ends_with("# Tiny\n\nText with --- in it.\n")) << card;
}

TEST(ModelCard, HeadsOfOddForms) {
  EXPECT_TRUE(card_of("# No head\n").ends_with("\n\n# No head\n"));
  EXPECT_EQ(count("\n" + card_of("# No head\n"), "\n---\n"), 2u);
  // An empty head, a head that ends the file, a head never closed (then it is text).
  EXPECT_EQ(count("\n" + card_of("---\n---\nBody\n"), "\n---\n"), 2u);
  EXPECT_EQ(count("\n" + card_of("---\n---\n"), "\n---\n"), 2u);
  const std::string no_body = card_of("---\nlicense: mit\n---");
  EXPECT_TRUE(no_body.starts_with("---\nlicense: mit\nbase_model:")) << no_body;
  EXPECT_EQ(count("\n" + no_body, "\n---\n"), 2u);
  EXPECT_TRUE(card_of("---\nnever closed\n").ends_with("---\nnever closed\n"));
}

// A folder's name is data: it must not add keys to the head.
TEST(ModelCard, AFolderNameIsQuoted) {
  const std::pair<const char*, const char*> cases[] = {
      {"all-MiniLM-L6-v2", "base_model: all-MiniLM-L6-v2\n"},
      {"a: b", "base_model: \"a: b\"\n"},
      {"x\nlicense: mit", "base_model: \"x\\nlicense: mit\"\n"},
      {"- #\"", "base_model: \"- #\\\"\"\n"},
  };
  const TestFolder root("card-names");
  for (const auto& [name, line] : cases) {
    write_model(tiny_classifier(), root / name);
    const Model source = read_model(root / name);
    const std::string card = file_of(describe_provenance(source, kStep, 1, 1, nullptr), "README.md");
    EXPECT_NE(card.find(line), std::string::npos) << card;
    EXPECT_FALSE(card.find("\nlicense:") != std::string::npos) << card;
  }
}

}  // namespace
}  // namespace penjing
