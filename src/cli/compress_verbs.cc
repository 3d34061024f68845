#include "cli/compress_verbs.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/text_table.h"
#include "cli/method_context.h"
#include "cli/param_options.h"
#include "compress/apply.h"

namespace penjing::cli {

namespace {

// What the command line gave for one verb; lives as long as the program.
struct VerbOptions {
  std::string model, out, method;
  CalibrationSource calibration;
  std::vector<const Method*> methods;
  ParamOptions params;
};

const Method& chosen_method(const VerbOptions& options) {
  std::vector<std::string> names;
  for (const Method* method : options.methods) {
    if (options.method == method->name) return *method;
    names.push_back(method->name);
  }
  fail(ErrorKind::kInput, "--method \"{}\"; did you mean \"{}\"?", options.method,
       nearest(options.method, names));
}

int run_verb(const CLI::App& app, const VerbOptions& options, const CommonOptions& common) {
  const Method& method = chosen_method(options);
  const Json params = resolve_params(method, options.params.given(app));
  const Model source = read_model(resolve_model(options.model));
  MethodContext context =
      make_method_context(source, options.calibration, std::make_shared<ThreadPool>(common.threads));
  context.note = [](const std::string& line) { log_info("{}", line); };
  const auto [report, before, after] = apply_method(source, method, params, context, options.out);
  const double ratio =
      static_cast<double>(before.weights) / static_cast<double>(std::max<std::uintmax_t>(after.weights, 1));
  if (common.json) {
    Json notes = Json::array();
    for (const auto& note : report.notes) notes.push_back(note);
    print_json(Json::object({{"method", method.name},
                             {"params", params},
                             {"out", options.out},
                             {"bytes_before", static_cast<uint64_t>(before.weights)},
                             {"bytes_after", static_cast<uint64_t>(after.weights)},
                             {"ratio", ratio},
                             {"details", report.details},
                             {"notes", notes}}));
    return kDone;
  }
  TextTable table({"weights", "before", "after", "ratio"}, "lrrr");
  table.add_row({method.name, format_bytes(static_cast<double>(before.weights)),
                 format_bytes(static_cast<double>(after.weights)), fmt::format("{:.2f}x", ratio)});
  print_text(table.str());
  for (const auto& note : report.notes) print_text("note: " + note + "\n");
  print_text(fmt::format("written: {}\nnext: penjing verify {} --reference {} --data TEXTS.txt\n",
                         options.out, options.out, options.model));
  return kDone;
}

CLI::App* find_verb(CLI::App& app, const std::string& name) {
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) {
    if (verb->get_name() == name) return verb;
  }
  return nullptr;
}

}  // namespace

std::vector<CompressVerb> declare_compress_verbs(CLI::App& app) {
  static std::vector<std::unique_ptr<VerbOptions>> all_options;
  std::vector<CompressVerb> verbs;
  for (const Method* method : all_methods()) {
    if (method->verb == nullptr) continue;
    CLI::App* verb = find_verb(app, method->verb);
    VerbOptions* options = nullptr;
    if (verb == nullptr) {
      verb = app.add_subcommand(method->verb, method->summary);
      verb->footer(method->help);
      options = all_options.emplace_back(std::make_unique<VerbOptions>()).get();
      options->method = method->name;
      verb->add_option("MODEL", options->model, "the model to start from; it is not changed")->required();
      verb->add_option("-o,--out", options->out, "folder to write, new or empty")->required();
      verb->add_option("--method", options->method, "which method")->capture_default_str();
      verbs.push_back(
          {verb, [verb, options](const CommonOptions& common) { return run_verb(*verb, *options, common); }});
    } else {
      for (const auto& existing : all_options) {
        if (existing->methods.front()->verb == std::string_view(method->verb)) options = existing.get();
      }
      verb->footer(verb->get_footer() + "\n\n" + method->help);
    }
    options->methods.push_back(method);
    if (method->needs == Needs::kCalibrationText && verb->get_option_no_throw("--calibration") == nullptr) {
      verb->add_option("--calibration", options->calibration.texts,
                       "texts to calibrate with, one a line; default: sentences that ship with Penjing");
      verb->add_option("--samples", options->calibration.samples, "how many of them at most")
          ->capture_default_str()
          ->check(CLI::Range(1, 1000000));
      verb->add_option("--statistics", options->calibration.statistics,
                       "a file that `penjing calibrate` wrote, to use instead of texts");
    }
    options->params.declare(*verb, method->params());
  }
  return verbs;
}

}  // namespace penjing::cli
