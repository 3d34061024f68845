#include "cli/program.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/compress_verbs.h"
#include "cli/train_program.h"

namespace penjing::cli {

#define PENJING_COMMAND(name) extern const Command name##_command;
#include "cli/commands.def"
#undef PENJING_COMMAND

namespace {

constexpr const Command* kCommands[] = {
#define PENJING_COMMAND(name) &name##_command,
#include "cli/commands.def"
#undef PENJING_COMMAND
};

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInput:
      return kUsage;
    case ErrorKind::kFormat:
    case ErrorKind::kUnsupported:
      return kRefused;
    case ErrorKind::kIo:
    case ErrorKind::kResource:
      return kResourceLimit;
    case ErrorKind::kInternal:
      return kInternalError;
  }
  return kInternalError;
}

// With --json, an error is one JSON object on stderr; else a line.
int report(const CommonOptions& common, const char* kind, int code, const std::string& message) {
  if (common.json) {
    const Json json = Json::object({{"error", message}, {"kind", kind}, {"exit_code", code}});
    fmt::print(stderr, "{}\n", json.dump());
  } else {
    fmt::print(stderr, "penjing: {}\n", message);
  }
  return code;
}

int run_guarded(const CommonOptions& common, const std::function<int()>& body) {
  try {
    const int code = body();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return report(common, "io", kResourceLimit, "cannot write to standard output");
    }
    return code;
  } catch (const Error& error) {
    return report(common, to_string(error.kind()), exit_code(error.kind()), error.what());
  } catch (const Interrupted&) {
    return report(common, "interrupted", kInterruptedByUser, "interrupted; nothing half-written is left");
  } catch (const std::bad_alloc&) {
    return report(common, "resource", kResourceLimit, "out of memory");
  } catch (const std::exception& error) {
    return report(common, "internal", kInternalError, std::string("internal error: ") + error.what());
  }
}

void add_common(CLI::App& app, CommonOptions& common) {
  app.add_flag("--json", common.json, "machine-readable output");
  app.add_flag("-q,--quiet", common.quiet, "no progress, warnings only");
  app.add_option("-t,--threads", common.threads, "threads; 0 = all that this process may use")
      ->check(CLI::Range(0, 1024));
}

}  // namespace

void print_text(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}
void print_json(const Json& json) {
  print_text(json.dump(2) + "\n");
}

int run_program(int argc, char** argv, std::span<const Command* const> training) {
  install_interrupt_handler();
  CommonOptions common;
  if (training.empty() && argc > 1) {
    // Recipes may have steps that train; completion tells the options of every command.
    for (const std::string_view verb : {"run", "resume", "status", "completion"}) {
      if (argv[1] == verb && has_trainer()) {
        return run_guarded(common, [argv]() -> int { run_trainer(argv); });
      }
    }
    for (const TrainVerb& verb : train_verbs()) {
      if (argv[1] == std::string_view(verb.verb)) {
        return run_guarded(common, [argv]() -> int { run_trainer(argv); });
      }
    }
  }
  CLI::App app("Penjing makes BERT-family encoders small and fast: import, compress, check, measure, use.");
  app.set_version_flag("--version", std::string("penjing ") + version());
  app.require_subcommand(1);
  app.footer(
      "MODEL is a model folder, a repository id in the Hugging Face cache, or a name in "
      "$PENJING_CACHE/models.\n"
      "Exit codes: 0 done, 1 internal error, 2 usage, 3 goal not met, 4 file refused, 5 parity failed, 6 out "
      "of memory or "
      "disk, 130 interrupted.");

  std::vector<std::string> verbs;
  std::map<const CLI::App*, std::function<int()>> actions;
  const auto add = [&](const Command* command) {
    CLI::App* verb = app.add_subcommand(command->verb, command->summary);
    verb->footer(std::string("Examples:\n") + command->examples);
    command->declare(*verb);
    add_common(*verb, common);
    actions[verb] = [command, &common] { return command->run(common); };
    verbs.push_back(command->verb);
  };
  for (const Command* command : kCommands) add(command);
  for (const Command* command : training) add(command);
  if (training.empty()) {
    for (const TrainVerb& verb : train_verbs()) {  // handed over above; here for --help and for nearest names
      app.add_subcommand(verb.verb, verb.summary);
      verbs.push_back(verb.verb);
    }
  }
  for (const auto& generated : declare_compress_verbs(app)) {
    add_common(*generated.app, common);
    actions[generated.app] = [run = generated.run, &common] { return run(common); };
    verbs.push_back(generated.app->get_name());
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const std::string given = argc > 1 ? argv[1] : "";
    const bool known =
        given.empty() || given[0] == '-' || std::find(verbs.begin(), verbs.end(), given) != verbs.end();
    if (!known) {
      return report(common, "input", kUsage,
                    fmt::format("unknown command \"{}\"; did you mean \"{}\"? See penjing --help", given,
                                nearest(given, verbs)));
    }
    return report(common, "input", kUsage,
                  fmt::format("{}. See penjing {}--help", error.what(),
                              given.empty() || given[0] == '-' ? "" : given + " "));
  }
  log_to_stderr(common.quiet);
  set_progress_style(detect_progress_style(common.quiet));
  for (const auto& [verb, action] : actions) {
    if (verb->parsed()) return run_guarded(common, action);
  }
  return kUsage;
}

}  // namespace penjing::cli
