// verify: how far a model's outputs are from a reference model's on the user's own texts, and where it
// arises.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/text_table.h"
#include "cli/loaded_model.h"
#include "data/text_lines.h"
#include "eval/agreement.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, reference, data;
  double min_cosine = -2, min_cosine_mean = -2, min_agreement = -1;
  int64_t limit = 0;
  int mask_every = 7;
  bool per_layer = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "the model to check")->required();
  app.add_option("-r,--reference", options.reference, "the model it should agree with")->required();
  app.add_option("-d,--data", options.data, "texts, one a line; - for standard input")->required();
  app.add_flag("--per-layer", options.per_layer, "also compare every layer's output (on at most 200 texts)");
  app.add_option("--limit", options.limit, "use only the first N texts; 0 = all")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--mask-every", options.mask_every,
                 "masked models: mask each Nth piece and compare the predictions")
      ->capture_default_str()
      ->check(CLI::Range(2, 1000));
  app.add_option("--min-cosine", options.min_cosine, "exit 5 when the worst text's cosine is below");
  app.add_option("--min-cosine-mean", options.min_cosine_mean, "exit 5 when the mean cosine is below");
  app.add_option("--min-agreement", options.min_agreement,
                 "exit 5 when the share of equal top-1 predictions is below");
}

OutputKind common_output(const LoadedModel& a, const LoadedModel& b) {
  for (const OutputKind kind : {OutputKind::kClassLogits, OutputKind::kTokenLogits, OutputKind::kSpanLogits,
                                OutputKind::kEmbedding, OutputKind::kMaskedLogits, OutputKind::kHidden}) {
    if (a.predictor->supports(kind) && b.predictor->supports(kind)) return kind;
  }
  return OutputKind::kHidden;
}

bool is_logits(OutputKind kind) {
  return kind != OutputKind::kEmbedding && kind != OutputKind::kHidden && kind != OutputKind::kPooled;
}

// Activations of one text at every ".out" site, or a comparison with those.
class LayerTap : public Tap {
 public:
  struct Site {
    int layer = -1;
    std::vector<float> rows;
    int64_t num_rows = 0, dim = 0;
    double cosine_sum = 0, cosine_min = 1, error = 0, power = 0;
    int64_t count = 0;
  };
  std::map<std::string, Site, std::less<>> sites;
  std::vector<std::string> order;
  bool compare = false;

  bool wants(std::string_view site) override { return site.ends_with(".out"); }
  void on(std::string_view name, int layer, const float* rows, int64_t num_rows, int64_t dim) override {
    auto found = sites.find(name);
    if (!compare) {
      if (found == sites.end()) {
        order.emplace_back(name);
        found = sites.emplace(std::string(name), Site{}).first;
      }
      Site& site = found->second;
      site.layer = layer;
      site.num_rows = num_rows;
      site.dim = dim;
      site.rows.assign(rows, rows + num_rows * dim);
      return;
    }
    if (found == sites.end() || found->second.num_rows != num_rows || found->second.dim != dim) return;
    Site& site = found->second;
    for (int64_t r = 0; r < num_rows; ++r) {
      const std::span<const float> reference(site.rows.data() + r * dim, static_cast<std::size_t>(dim));
      const std::span<const float> candidate(rows + r * dim, static_cast<std::size_t>(dim));
      const double c = cosine(reference, candidate);
      site.cosine_sum += c;
      site.cosine_min = std::min(site.cosine_min, c);
      ++site.count;
      for (std::size_t i = 0; i < reference.size(); ++i) {
        const double d = double{candidate[i]} - reference[i];
        site.error += d * d;
        site.power += double{reference[i]} * reference[i];
      }
    }
  }
};

// Masks each Nth ordinary piece; returns the masked positions.
std::vector<int64_t> mask_pieces(Encoding& encoding, int32_t mask, int every) {
  std::vector<int64_t> positions;
  int counter = 0;
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    if (encoding.special_mask[i] != 0 || ++counter % every != every / 2) continue;
    encoding.ids[i] = mask;
    positions.push_back(static_cast<int64_t>(i));
  }
  return positions;
}

struct Outcome {
  Agreement agreement;
  std::vector<std::size_t> text_of_row;
  int64_t correct_reference = 0, correct_model = 0;
};

Outcome compare_masked(LoadedModel& model, LoadedModel& reference, std::vector<Encoding> encodings) {
  Outcome outcome;
  for (std::size_t text = 0; text < encodings.size(); ++text) {
    const std::vector<int32_t> original = encodings[text].ids;
    const std::vector<int64_t> positions =
        mask_pieces(encodings[text], reference.tokenizer->mask_id(), options.mask_every);
    if (positions.empty()) continue;
    RaggedBatch batch;
    batch.append(encodings[text].ids, encodings[text].type_ids);
    Request request;
    request.kind = OutputKind::kMaskedLogits;
    request.positions = positions;
    const Prediction wanted = reference.predictor->predict(batch, request),
                     got = model.predictor->predict(batch, request);
    for (int64_t row = 0; row < wanted.num_rows; ++row) {
      outcome.agreement.add(static_cast<int64_t>(outcome.text_of_row.size()), wanted.row(row), got.row(row),
                            true);
      outcome.text_of_row.push_back(text);
      const int32_t truth = original[static_cast<std::size_t>(positions[static_cast<std::size_t>(row)])];
      outcome.correct_reference += argmax(wanted.row(row)) == truth ? 1 : 0;
      outcome.correct_model += argmax(got.row(row)) == truth ? 1 : 0;
    }
  }
  return outcome;
}

Outcome compare_rows(LoadedModel& model, LoadedModel& reference, const std::vector<Encoding>& encodings,
                     OutputKind kind) {
  Outcome outcome;
  std::vector<std::vector<float>> wanted(encodings.size());
  predict_all(*reference.predictor, encodings, kind, "reference",
              [&](std::size_t i, const float* rows, int64_t n, int64_t dim) {
                wanted[i].assign(rows, rows + n * dim);
              });
  std::vector<std::vector<float>> got(encodings.size());
  int64_t width = 0;
  predict_all(*model.predictor, encodings, kind, "model",
              [&](std::size_t i, const float* rows, int64_t n, int64_t dim) {
                got[i].assign(rows, rows + n * dim);
                width = dim;
              });
  for (std::size_t text = 0; text < encodings.size(); ++text) {
    if (wanted[text].size() != got[text].size()) {
      fail(ErrorKind::kInput, "the models' outputs differ in shape: {} numbers against {}", got[text].size(),
           wanted[text].size());
    }
    for (std::size_t at = 0; at < wanted[text].size(); at += static_cast<std::size_t>(width)) {
      const auto size = static_cast<std::size_t>(width);
      outcome.agreement.add(static_cast<int64_t>(outcome.text_of_row.size()),
                            {wanted[text].data() + at, size}, {got[text].data() + at, size}, is_logits(kind));
      outcome.text_of_row.push_back(text);
    }
  }
  return outcome;
}

void compare_layers(LoadedModel& model, LoadedModel& reference, const std::vector<Encoding>& encodings,
                    LayerTap& tap) {
  const std::size_t count = std::min<std::size_t>(encodings.size(), 200);
  for (std::size_t i = 0; i < count; ++i) {
    RaggedBatch batch;
    batch.append(encodings[i].ids, encodings[i].type_ids);
    Request request;
    request.tap = &tap;
    tap.compare = false;
    (void)reference.predictor->predict(batch, request);
    tap.compare = true;
    (void)model.predictor->predict(batch, request);
  }
}

int run(const CommonOptions& common) {
  auto texts = read_text_lines(options.data);
  if (options.limit > 0 && texts.size() > static_cast<std::size_t>(options.limit))
    texts.resize(static_cast<std::size_t>(options.limit));
  std::erase_if(texts, [](const std::string& text) { return text.empty(); });
  if (texts.empty()) fail(ErrorKind::kInput, "{}: no texts", options.data);
  const auto pool = std::make_shared<ThreadPool>(common.threads);
  LoadedModel model = load_model(options.model, common, {}, pool),
              reference = load_model(options.reference, common, {}, pool);
  if (model.tokenizer->vocab_size() != reference.tokenizer->vocab_size()) {
    fail(ErrorKind::kInput, "the models have different vocabularies: {} and {} tokens",
         model.tokenizer->vocab_size(), reference.tokenizer->vocab_size());
  }
  const OutputKind kind = common_output(model, reference);
  EncodeOptions how;
  how.max_length = std::min(model.max_length, reference.max_length);
  how.ids_only = kind != OutputKind::kMaskedLogits;  // which wants the special ones marked
  const std::vector<Encoding> encodings = encode_all(*reference.tokenizer, *reference.pool, texts, how);
  const auto truncated = std::count_if(encodings.begin(), encodings.end(),
                                       [](const Encoding& encoding) { return encoding.truncated; });
  if (truncated > 0)
    log_info("{} of {} texts were cut to {} tokens", truncated, texts.size(), how.max_length);
  const Outcome outcome = kind == OutputKind::kMaskedLogits ? compare_masked(model, reference, encodings)
                                                            : compare_rows(model, reference, encodings, kind);
  const Agreement& a = outcome.agreement;
  LayerTap tap;
  if (options.per_layer) compare_layers(model, reference, encodings, tap);

  std::string failed;
  const auto require = [&](bool asked, double value, double wanted, const char* name) {
    if (asked && value < wanted)
      failed += fmt::format("{}{} is {:.6f}, wanted at least {:.6f}", failed.empty() ? "" : "; ", name, value,
                            wanted);
  };
  require(options.min_cosine > -2, a.cosine_min, options.min_cosine, "the worst cosine");
  require(options.min_cosine_mean > -2, a.cosine_mean(), options.min_cosine_mean, "the mean cosine");
  if (options.min_agreement >= 0 && !is_logits(kind))
    fail(ErrorKind::kInput, "--min-agreement needs models with a head; these give {}", to_string(kind));
  require(options.min_agreement >= 0, a.top1(), options.min_agreement, "top-1 agreement");

  const std::string worst =
      a.worst_row < 0 ? "" : texts[outcome.text_of_row[static_cast<std::size_t>(a.worst_row)]];
  const auto share = [&](int64_t n) {
    return a.rows > 0 ? static_cast<double>(n) / static_cast<double>(a.rows) : 0.0;
  };
  Json layers = Json::array();
  for (const std::string& name : tap.order) {
    const auto& site = tap.sites.at(name);
    if (site.count == 0) continue;
    layers.push_back(
        Json::object({{"site", name},
                      {"layer", site.layer},
                      {"cosine_mean", site.cosine_sum / static_cast<double>(site.count)},
                      {"cosine_min", site.cosine_min},
                      {"relative_error", std::sqrt(site.error / std::max(site.power, 1e-300))}}));
  }
  if (common.json) {
    Json json = Json::object({{"output", to_string(kind)},
                              {"texts", static_cast<uint64_t>(texts.size())},
                              {"rows", a.rows},
                              {"truncated", truncated},
                              {"cosine_mean", a.cosine_mean()},
                              {"cosine_min", a.cosine_min},
                              {"max_abs_diff", a.max_abs},
                              {"worst_text", worst}});
    if (is_logits(kind)) json.set("top1_agreement", a.top1()), json.set("kl", a.kl_mean());
    if (kind == OutputKind::kMaskedLogits) {
      json.set("accuracy_reference", share(outcome.correct_reference));
      json.set("accuracy_model", share(outcome.correct_model));
    }
    json.set("layers", layers);
    json.set("passed", failed.empty());
    print_json(json);
  } else {
    print_text(fmt::format("{} against {}: {} texts, {} rows of {}\n", options.model, options.reference,
                           texts.size(), a.rows, to_string(kind)));
    print_text(fmt::format("cosine      mean {:.6f}   worst {:.6f}\nmax |diff|  {:.3g}\n", a.cosine_mean(),
                           a.cosine_min, a.max_abs));
    if (is_logits(kind))
      print_text(fmt::format("top-1       {:.2f} % equal   KL {:.5f}\n", a.top1() * 100, a.kl_mean()));
    if (kind == OutputKind::kMaskedLogits) {
      print_text(fmt::format("accuracy    reference {:.2f} %   model {:.2f} %\n",
                             share(outcome.correct_reference) * 100, share(outcome.correct_model) * 100));
    }
    print_text(fmt::format("worst text  {}\n", worst.substr(0, 160)));
    if (options.per_layer) {
      TextTable table({"site", "cosine", "worst", "relative error"}, "lrrr");
      for (const Json& layer : layers.as_array("")) {
        table.add_row({layer.find("site")->as_string(""),
                       fmt::format("{:.6f}", layer.find("cosine_mean")->as_double("")),
                       fmt::format("{:.6f}", layer.find("cosine_min")->as_double("")),
                       fmt::format("{:.4f}", layer.find("relative_error")->as_double(""))});
      }
      print_text(table.str());
    }
  }
  if (failed.empty()) return kDone;
  log_warning("{}", failed);
  return kParityFailed;
}

}  // namespace

extern const Command verify_command;
const Command verify_command = {
    "verify", "does a compressed model still agree with the original, and where not",
    "  penjing verify minilm-int8 --reference minilm --data texts.txt\n"
    "  penjing verify minilm-int8 --reference minilm --data texts.txt --per-layer\n"
    "  penjing verify minilm-int8 --reference minilm --data texts.txt --min-cosine 0.99   # exit 5 when "
    "below",
    declare, run};

}  // namespace penjing::cli
