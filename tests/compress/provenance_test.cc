#include "compress/provenance.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "io/model_folder.h"
#include "io/safetensors.h"
#include "tests/io/safetensors_file.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

Model write_and_read(const TestFolder& folder, const std::string& card) {
  const Model model = tiny_bert();
  std::filesystem::create_directories(folder / "tiny");
  write_safetensors(folder / "tiny/model.safetensors", model.tensors);
  write_bytes(folder / "tiny/config.json", model.config.dump());
  if (!card.empty()) write_bytes(folder / "tiny/README.md", card);
  return read_model(folder / "tiny");
}

std::string content_of(const std::vector<SideFile>& files, const std::string& path) {
  for (const SideFile& file : files) {
    if (file.path == path) return file.content;
  }
  return "";
}

const StepRecord kStep = {"quantize", Json::object({{"scheme", "w8a8"}}), Json::object({{"layers", 12}})};

TEST(Provenance, RecordsInputsAndSteps) {
  const TestFolder folder("provenance");
  const Model model = write_and_read(folder, "");
  const auto files = describe_provenance(model, kStep, 1000, 250, Json::object({{"cosine_mean", 0.99}}));
  const Json record = Json::parse(content_of(files, "compression.json"), "");
  const Json& input = record.find("inputs")->as_array("").at(0);
  EXPECT_EQ(input.find("file")->as_string(""), "model.safetensors");
  EXPECT_EQ(input.find("sha256")->as_string(""), sha256_file(folder / "tiny/model.safetensors"));
  EXPECT_EQ(record.find("bytes_before")->as_int(""), 1000);
  EXPECT_EQ(record.find("bytes_after")->as_int(""), 250);
  EXPECT_EQ(record.find("agreement")->find("cosine_mean")->as_double(""), 0.99);
  EXPECT_FALSE(record.find("penjing")->as_string("").empty());

  // A second step, on what the first wrote.
  write_bytes(folder / "tiny/compression.json", content_of(files, "compression.json"));
  const Model again = read_model(folder / "tiny");
  const auto more =
      describe_provenance(again, {"dequantize", Json::object(), Json::object()}, 250, 1000, Json());
  const Json later = Json::parse(content_of(more, "compression.json"), "");
  const auto& steps = later.find("steps")->as_array("");
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].find("params")->dump(), R"({"scheme":"w8a8"})");
  EXPECT_EQ(steps[1].find("method")->as_string(""), "dequantize");
}

TEST(Provenance, TheCardKeepsWhatItsAuthorWrote) {
  const TestFolder folder("provenance-card");
  const Model model = write_and_read(
      folder,
      "---\nlicense: mit\nbase_model: someone/else\ntags:\n- mine\n---\n\n# Tiny\n\nText with --- in it.\n");
  const std::string card = content_of(describe_provenance(model, kStep, 2, 1, Json()), "README.md");
  EXPECT_TRUE(card.starts_with("---\nlicense: mit\nbase_model: someone/else\ntags:\n- mine\n")) << card;
  EXPECT_EQ(card.find("base_model:", card.find("base_model:") + 1), std::string::npos);
  EXPECT_NE(card.find("base_model_relation: quantized\n"), std::string::npos);
  EXPECT_NE(card.find("library_name: penjing\n"), std::string::npos);
  EXPECT_TRUE(card.ends_with("# Tiny\n\nText with --- in it.\n")) << card;

  const Model plain = write_and_read(folder, "# No head\n");
  const std::string other = content_of(describe_provenance(plain, kStep, 2, 1, Json()), "README.md");
  EXPECT_NE(other.find("base_model: tiny\n"), std::string::npos) << other;
  EXPECT_TRUE(other.ends_with("# No head\n"));
}

}  // namespace
}  // namespace penjing
