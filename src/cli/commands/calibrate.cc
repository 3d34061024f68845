// calibrate: what texts do at the input of every linear layer, as a file that quantize takes instead of
// texts.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"
#include "base/text_table.h"
#include "cli/command.h"
#include "cli/method_context.h"
#include "compress/calibration.h"
#include "io/model_folder.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, out;
  CalibrationSource calibration;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "the model whose layers are looked at")->required();
  app.add_option("-o,--out", options.out, "file to write")->required();
  app.add_option("--calibration", options.calibration.texts,
                 "texts, one a line; default: sentences that ship with Penjing");
  app.add_option("--samples", options.calibration.samples, "how many of them at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
}

int run(const CommonOptions& common) {
  const Model model = read_model(resolve_model(options.model));
  const MethodContext context =
      make_method_context(model, options.calibration, std::make_shared<ThreadPool>(common.threads));
  CalibrationRequest request;
  request.histograms = true;
  for (const auto& group : linear_groups(model.description)) request.modules.push_back(group.front().name);
  const Calibration statistics = collect_statistics(model, context.run_calibration, request);
  write_statistics(options.out, statistics, context.calibration_source);
  if (common.json) {
    Json layers = Json::object();
    for (const std::string& module : request.modules) {
      const SiteStatistics& s = statistics.at(module);
      layers.set(module, Json::object({{"low", s.low}, {"high", s.high}, {"rows", s.num_rows}}));
    }
    print_json(
        Json::object({{"out", options.out}, {"source", context.calibration_source}, {"inputs", layers}}));
    return kDone;
  }
  TextTable table({"input of", "low", "high", "largest channel / median"}, "lrrr");
  for (const std::string& module : request.modules) {
    const SiteStatistics& s = statistics.at(module);
    std::vector<float> channels = s.channel_max_abs;
    std::sort(channels.begin(), channels.end());
    table.add_row({module, fmt::format("{:.3f}", s.low), fmt::format("{:.3f}", s.high),
                   fmt::format("{:.1f}", channels.back() / std::max(channels[channels.size() / 2], 1e-20f))});
  }
  print_text(table.str());
  print_text(fmt::format("{}, {} tokens; written: {}\n", context.calibration_source,
                         statistics.begin()->second.num_rows, options.out));
  return kDone;
}

}  // namespace

extern const Command calibrate_command;
const Command calibrate_command = {
    "calibrate", "statistics of activations, for quantize --statistics",
    "  penjing calibrate minilm --calibration texts.txt --out minilm.statistics\n"
    "  penjing quantize minilm --range static --statistics minilm.statistics --out minilm-static",
    declare, run};

}  // namespace penjing::cli
