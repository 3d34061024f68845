// pack: stores what a start has to derive from a model's files, so that the next one maps it.
#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "cli/loaded_model.h"
#include "cli/stored_pack.h"
#include "io/model_folder.h"
#include "io/pack_file.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model;
  bool check = false, remove = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a model folder that can be written to")->required();
  auto* check =
      app.add_flag("--check", options.check,
                   "read the pack that is there and all files it was made from; an error when it is "
                   "missing, stale or damaged");
  app.add_flag("--remove", options.remove, "delete the packs of all CPUs")->excludes(check);
}

int remove_packs(const std::filesystem::path& folder, const CommonOptions& common) {
  Json removed = Json::array();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("penjing.") || !name.ends_with(".pack")) continue;
    std::error_code error;
    if (!std::filesystem::remove(entry.path(), error))
      fail(ErrorKind::kIo, "{}: cannot be removed: {}", entry.path().string(), error.message());
    removed.push_back(entry.path().string());
  }
  std::string text = fmt::format("{} packs removed\n", removed.as_array("removed").size());
  print_text(common.json ? Json::object({{"removed", std::move(removed)}}).dump(2) + "\n" : text);
  return kDone;
}

int run(const CommonOptions& common) {
  const auto folder = resolve_model(options.model);
  if (options.remove) return remove_packs(folder, common);
  const auto path = pack_path(folder, pack_isa());
  if (options.check) {
    const Pack pack = read_pack(folder, pack_isa(), true);
    if (pack.state == PackState::kNone) fail(ErrorKind::kInput, "{}: there is no such pack", path.string());
    if (pack.state != PackState::kUsable)
      fail(ErrorKind::kFormat, "{}: {}: {}", path.string(),
           pack.state == PackState::kStale ? "stale" : "damaged", pack.reason);
  } else {
    // A pack that is there may be stale: nothing of it is used.
    const Model model = read_model(folder);
    const auto tokenizer = Tokenizer::load(folder);
    (void)write_stored(folder, *Engine::build(model), *tokenizer);
  }
  const FolderSize size = measure_folder(folder);
  const auto bytes = std::filesystem::file_size(path);
  if (common.json) {
    print_text(Json::object({{"pack", path.string()},
                             {"isa", pack_isa()},
                             {"bytes", static_cast<int64_t>(bytes)},
                             {"weights_bytes", static_cast<int64_t>(size.weights)}})
                   .dump(2) +
               "\n");
  } else {
    print_text(fmt::format("{}: {:.1f} MB for {}, {} (weights of the checkpoint: {:.1f} MB)\n", path.string(),
                           static_cast<double>(bytes) / 1e6, pack_isa(), options.check ? "usable" : "written",
                           static_cast<double>(size.weights) / 1e6));
  }
  return kDone;
}

}  // namespace

extern const Command pack_command;
const Command pack_command = {"pack", "store packed weights beside a model, so that it starts faster",
                              "  penjing pack minilm-int8\n"
                              "  penjing pack minilm-int8 --check\n"
                              "  PENJING_ISA=avx2 penjing pack minilm-int8",
                              declare, run};

}  // namespace penjing::cli
