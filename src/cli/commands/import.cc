// import: a Google TensorFlow checkpoint to a Hugging Face model folder.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text_table.h"
#include "cli/command.h"
#include "io/google_checkpoint.h"
#include "io/model_folder.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string source, out;
  bool list = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("DIR", options.source, "bert_model.ckpt.* with vocab.txt, or a SavedModel")->required();
  app.add_option("-o,--out", options.out, "folder to write, new or empty")->required();
  app.add_flag("--list", options.list, "print every tensor read");
}

Json strings(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const auto& value : values) list.push_back(value);
  return list;
}

int run(const CommonOptions& common) {
  const GoogleImport import = read_google_checkpoint(options.source);
  write_model(import.model, options.out);
  if (common.json) {
    print_json(Json::object({{"out", options.out},
                             {"parameters", import.parameters},
                             {"tensors", static_cast<uint64_t>(import.read.size())},
                             {"read", strings(import.read)},
                             {"left", strings(import.left)}}));
    return kDone;
  }
  if (options.list) {
    for (const auto& line : import.read) print_text(line + "\n");
  }
  print_text(
      fmt::format("read: {} tensors, {} parameters\n", import.read.size(), format_count(import.parameters)));
  print_text(fmt::format("left: {}\n", import.left.size()));
  for (const auto& line : import.left) print_text("  " + line + "\n");
  print_text(fmt::format("written: {}\n", options.out));
  return kDone;
}

}  // namespace

extern const Command import_command;
const Command import_command = {"import", "a Google TensorFlow BERT checkpoint to an ordinary model folder",
                                "  penjing import uncased_L-12_H-768_A-12 --out bert-base", declare, run};

}  // namespace penjing::cli
