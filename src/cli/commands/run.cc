// run: a recipe, from a model to a smaller one that is measured.
#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/recipe_services.h"
#include "io/model_folder.h"
#include "recipe/schema.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string recipe, out;
  std::vector<std::string> overrides;
  bool schema = false, dry_run = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("RECIPE", options.recipe, "a recipe: JSON, comments allowed");
  app.add_option("-o,--out", options.out,
                 "folder of the run, new, or of an earlier run: finished steps are kept");
  app.add_option("--set", options.overrides, "KEY=VALUE in place of the recipe's: steps.0.scheme=w7a8")
      ->expected(1)
      ->take_all();
  app.add_flag("--dry-run", options.dry_run, "print the recipe as it is understood, do nothing");
  app.add_flag("--schema", options.schema, "print the JSON Schema of recipes");
}

int run(const CommonOptions& common) {
  if (options.schema) {
    print_json(recipe_schema());
    return kDone;
  }
  if (options.recipe.empty()) fail(ErrorKind::kInput, "RECIPE: none given. See penjing run --help");
  const Recipe recipe = load_recipe(options.recipe, options.overrides);
  if (options.dry_run) {
    print_json(to_json(recipe));
    return kDone;
  }
  if (options.out.empty()) fail(ErrorKind::kInput, "--out: no folder given for the run");
  (void)resolve_model(recipe.model);
  const RunFolder folder = RunFolder::create(options.out);
  return run_in_folder(recipe, folder, common);
}

}  // namespace

extern const Command run_command;
const Command run_command = {
    "run", "a recipe: several steps, measured, resumable",
    "  penjing run recipes/minilm-int8.json --out run\n"
    "  penjing run recipes/minilm-int8.json --set steps.0.scheme=w7a8 --out run-w7a8\n"
    "  penjing run --schema > recipe.schema.json      # for an editor\n"
    "After a kill or Ctrl-C: penjing resume run",
    declare, run};

}  // namespace penjing::cli
