// probe: a classifier from labelled texts without training the encoder: its frozen embeddings and a linear
// head, saved as an ordinary model.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/log.h"
#include "base/output_file.h"
#include "base/text_table.h"
#include "cli/task_model.h"
#include "compress/provenance.h"
#include "eval/linear_probe.h"
#include "eval/metrics.h"
#include "io/sentence_modules.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, out, pooling, class_weights = "none";
  TaskInput input;
  int64_t limit = 0;
  double c = 0;
  int folds = 5;
  uint64_t seed = 1;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a sentence encoder; it is not changed")->required();
  app.add_option("--data", options.input.data,
                 "a file of labelled texts, or a folder with train and, to score the result, test or dev")
      ->required();
  app.add_option("-o,--out", options.out, "folder to write, new or empty")->required();
  app.add_option("--text-column", options.input.columns.text, "instead of the guess");
  app.add_option("--label-column", options.input.columns.label, "instead of the guess");
  app.add_option("--pooling", options.pooling, "for an encoder without a pooling: cls, mean, max, ...");
  app.add_option("--class-weights", options.class_weights,
                 "balanced: rare classes count as much as frequent ones")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "balanced"}));
  app.add_option("--c", options.c, "inverse strength of the regularisation; default: by cross-validation")
      ->check(CLI::PositiveNumber);
  app.add_option("--folds", options.folds, "of the cross-validation")
      ->capture_default_str()
      ->check(CLI::Range(2, 100));
  app.add_option("--limit", options.limit, "the first N training texts only")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of the folds")->capture_default_str();
}

bool is_integer(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stopped == end;
}

// Class names in a fixed order: numbers by value, else by text.
std::vector<std::string> label_names(const Dataset& data) {
  std::vector<std::string> names;
  for (const Example& example : data.examples) names.push_back(example.label);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (std::all_of(names.begin(), names.end(), is_integer)) {
    std::sort(names.begin(), names.end(),
              [](const std::string& a, const std::string& b) { return std::stoll(a) < std::stoll(b); });
  }
  if (names.size() < 2)
    fail(ErrorKind::kInput, "{}: all labels are \"{}\"; wanted two classes or more", data.file.string(),
         names.empty() ? "" : names.front());
  return names;
}

std::vector<std::string> single_texts_of(const Dataset& data) {
  if (data.pairs)
    fail(ErrorKind::kUnsupported, "{}: pairs of texts; probe takes single texts (--text-column)",
         data.file.string());
  return texts_of(data);
}

std::vector<int> classes_of(const Dataset& data, const std::vector<std::string>& names,
                            bool unknown_is_wrong) {
  std::vector<int> classes;
  for (const Example& example : data.examples) {
    const auto found = std::find(names.begin(), names.end(), example.label);
    if (found == names.end() && !unknown_is_wrong)
      fail(ErrorKind::kInternal, "label \"{}\" is none of the classes", example.label);
    classes.push_back(found == names.end() ? -1 : static_cast<int>(found - names.begin()));
  }
  return classes;
}

Tensor float_tensor(Shape shape, const std::vector<double>& values) {
  const std::vector<float> rounded(values.begin(), values.end());
  return Tensor::from_floats(std::move(shape), rounded);
}

// The encoder with the classifier after its sentence modules, and its class names.
Model with_classifier(const Model& encoder, const LinearClassifier& classifier,
                      const std::vector<std::string>& names) {
  Model model = encoder;
  append_classifier(model, float_tensor({classifier.num_classes, classifier.width}, classifier.weight),
                    float_tensor({classifier.num_classes}, classifier.bias), names);
  return model;
}

// Scores on the folder's test or dev texts; null when it has none.
Json score_on_test(const TaskModel& model, const LinearClassifier& classifier,
                   const std::vector<std::string>& names) {
  std::error_code error;
  if (!std::filesystem::is_directory(options.input.data, error)) return nullptr;
  Dataset test;
  try {
    test = read_test(options.input);
  } catch (const Error& none) {
    log_info("no test: {}", none.what());
    return nullptr;
  }
  std::vector<int> predicted;
  for (const auto& row : model.embed(single_texts_of(test))) predicted.push_back(classifier.predict(row));
  const auto truth = classes_of(test, names, true);
  return Json::object({{"data", test.file.string()},
                       {"examples", static_cast<uint64_t>(truth.size())},
                       {"accuracy", accuracy(truth, predicted)},
                       {"f1_macro", macro_f1(truth, predicted)}});
}

int run(const CommonOptions& common) {
  const auto pool = std::make_shared<ThreadPool>(common.threads);
  Dataset train = read_dataset(find_split(options.input.data, "train"), options.input.columns);
  if (options.limit > 0 && train.examples.size() > static_cast<std::size_t>(options.limit))
    train.examples.resize(static_cast<std::size_t>(options.limit));
  const std::vector<std::string> texts = single_texts_of(train), names = label_names(train);
  log_info("{}: {} texts, {} classes ({})", train.file.string(), texts.size(), names.size(), train.reading);
  LoadedModel loaded = load_model(options.model, common, {options.pooling, {OutputKind::kEmbedding}}, pool);
  if (!options.pooling.empty() && !read_model(loaded.model.folder).sentence.modules.empty())
    fail(ErrorKind::kInput, "--pooling: {} has a pooling of its own", options.model);
  const TaskModel model = make_task_model(loaded, "embed");
  if (!model.embed)
    fail(ErrorKind::kInput, "{}: says nothing about pooling; choose one with --pooling", options.model);
  if (is_sentence_classifier(loaded.model))
    fail(ErrorKind::kInput, "{}: is a classifier already; probe its encoder", options.model);
  { const OutputFolder writable(options.out); }  // fails now, not after the work

  const auto rows = model.embed(texts);
  ProbeOptions how;
  how.c = options.c;
  how.class_weights = options.class_weights == "balanced" ? ClassWeights::kBalanced : ClassWeights::kNone;
  how.folds = options.folds;
  how.seed = options.seed;
  how.on_candidate = [](double c, double value) {
    log_info("C = {}: accuracy {:.4f} in cross-validation", c, value);
  };
  const LinearProbe probe = fit_linear_probe(rows, classes_of(train, names, false),
                                             static_cast<int>(names.size()), how, pool.get());
  if (!probe.converged)
    log_warning("the fit stopped after {} iterations before it converged", probe.iterations);
  const Json test = score_on_test(model, probe.classifier, names);

  Json candidates = Json::array();
  for (const auto& candidate : probe.candidates)
    candidates.push_back(Json::object({{"c", candidate.c}, {"accuracy", candidate.accuracy}}));
  const Json details = Json::object({{"classes", static_cast<uint64_t>(names.size())},
                                     {"examples", static_cast<uint64_t>(texts.size())},
                                     {"c", probe.c},
                                     {"cross_validation", candidates},
                                     {"iterations", probe.iterations},
                                     {"test", test}});
  const Json params = Json::object(
      {{"class_weights", options.class_weights}, {"folds", options.folds}, {"seed", options.seed}});
  const Model classifier = with_classifier(loaded.model, probe.classifier, names);
  const auto bytes = measure_folder(loaded.model.folder).weights;
  write_model(classifier, options.out,
              describe_provenance(loaded.model, {"probe", params, details}, bytes, bytes, nullptr));
  if (common.json) {
    Json json = details;
    json.set("out", options.out);
    print_json(json);
    return kDone;
  }
  TextTable table({"C", "accuracy in cross-validation"}, "rr");
  for (const auto& candidate : probe.candidates) {
    table.add_row({fmt::format("{}{}", candidate.c, candidate.c == probe.c ? " *" : ""),
                   fmt::format("{:.4f}", candidate.accuracy)});
  }
  if (!probe.candidates.empty()) print_text(table.str());
  if (!test.is_null()) {
    print_text(fmt::format("{}: {} examples, accuracy {:.4f}, macro F1 {:.4f}\n",
                           test.find("data")->as_string(""), test.find("examples")->as_int(""),
                           test.find("accuracy")->as_double(""), test.find("f1_macro")->as_double("")));
  }
  print_text(fmt::format("written: {}\nnext: penjing classify {} 'a text'\n", options.out, options.out));
  return kDone;
}

}  // namespace

extern const Command probe_command;
const Command probe_command = {
    "probe", "a classifier from labelled texts in minutes: frozen embeddings, a linear head",
    "  penjing probe minilm --data my-data/ --out my-classifier\n"
    "  penjing probe minilm --data texts.csv --class-weights balanced --out my-classifier\n"
    "  penjing classify my-classifier 'where is my card?'",
    declare, run};

}  // namespace penjing::cli
