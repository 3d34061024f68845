// inspect: what is in a model folder or a safetensors file, without running it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/text_table.h"
#include "cli/command.h"
#include "io/model_folder.h"
#include "io/safetensors.h"
#include "model/cost.h"
#include "model/exits.h"
#include "model/statistics.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, sensitivity;
  bool tensors = false, layers = false;
  int64_t length = 128;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "a model, or any .safetensors file")->required();
  app.add_flag("--tensors", options.tensors, "a row a tensor: range, zeros, outliers (reads all weights)");
  app.add_flag("--layers", options.layers, "a row a layer and part");
  app.add_option(
      "--sensitivity", options.sensitivity,
      "what `verify --per-layer --json` wrote: how much each module's output changed, beside its tensor");
  app.add_option("--length", options.length, "tokens for which FLOPs are counted")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
}

// How much the output of a module differed between two models, by the module's name.
struct OutputChange {
  double relative_error = 0, cosine_min = 1;
};
using OutputChanges = std::map<std::string, OutputChange, std::less<>>;

OutputChanges read_changes(const std::string& path) {
  OutputChanges changes;
  if (path.empty()) return changes;
  const Json json = Json::parse(read_text_file(path, std::size_t{64} << 20), path);
  const Json* layers = json.find("layers");
  if (layers == nullptr || layers->as_array(path + ": layers").empty()) {
    fail(ErrorKind::kFormat, "{}: no layers; wanted the output of penjing verify --per-layer --json", path);
  }
  for (const Json& layer : layers->as_array(path)) {
    const auto at = [&](const char* key) -> const Json& {
      const Json* found = layer.find(key);
      if (found == nullptr) fail(ErrorKind::kFormat, "{}: layers: an entry without {}", path, key);
      return *found;
    };
    std::string site = at("site").as_string(path + ": layers: site");
    if (!site.ends_with(".out")) continue;
    site.resize(site.size() - 4);
    changes[site] = {at("relative_error").as_double(path + ": layers: relative_error"),
                     at("cosine_min").as_double(path + ": layers: cosine_min")};
  }
  return changes;
}

// "encoder.layer.0.output.dense.weight" is of the module "encoder.layer.0.output.dense"; stored names may
// have the model's prefix before that.
const OutputChange* find_change(const OutputChanges& changes, std::string_view tensor) {
  constexpr std::string_view kWeight = ".weight";
  if (!tensor.ends_with(kWeight)) return nullptr;
  tensor.remove_suffix(kWeight.size());
  for (;;) {
    if (const auto found = changes.find(tensor); found != changes.end()) return &found->second;
    const auto dot = tensor.find('.');
    if (dot == std::string_view::npos) return nullptr;
    tensor.remove_prefix(dot + 1);
  }
}

Json tensor_json(const TensorMap::Entry& entry, const OutputChanges& changes) {
  const Tensor& t = entry.tensor;
  Json shape = Json::array();
  for (const int64_t size : t.shape) shape.push_back(size);
  Json json = Json::object({{"name", entry.name},
                            {"dtype", name_of(t.type)},
                            {"shape", shape},
                            {"bytes", static_cast<uint64_t>(t.bytes.size())}});
  if (is_computable(t.type)) {
    const TensorStatistics s = measure_tensor(t, entry.name);
    json.set("min", s.min), json.set("max", s.max), json.set("mean", s.mean),
        json.set("deviation", s.deviation);
    json.set("zeros", s.zeros), json.set("zeros_4x1", s.zeros_4x1), json.set("groups_2_of_4", s.pairs_2of4);
    json.set("outlier", s.outlier), json.set("beyond_six_deviations", s.beyond_six),
        json.set("not_finite", s.not_finite);
  }
  if (const OutputChange* change = find_change(changes, entry.name)) {
    json.set("output_error", change->relative_error), json.set("output_cosine_min", change->cosine_min);
  }
  return json;
}

// max/rms and the share beyond six deviations tell of outliers: one scale for many values then wastes its
// codes.
std::string tensor_table(const TensorMap& tensors, const OutputChanges& changes) {
  std::vector<std::string> header = {"tensor", "dtype", "shape",   "min",    "max",
                                     "std",    "zeros", "max/rms", "> 6 std"};
  std::string align = "lllrrrrrr";
  if (!changes.empty()) {
    header.insert(header.end(), {"output error", "worst cosine"});
    align += "rr";
  }
  TextTable table(header, align);
  for (const auto& entry : tensors) {
    std::vector<std::string> cells = {entry.name, name_of(entry.tensor.type), to_string(entry.tensor.shape)};
    if (is_computable(entry.tensor.type)) {
      const TensorStatistics s = measure_tensor(entry.tensor, entry.name);
      for (const double value : {s.min, s.max, s.deviation}) cells.push_back(fmt::format("{:.4g}", value));
      cells.push_back(fmt::format("{:.1f} %", s.zeros * 100));
      cells.push_back(fmt::format("{:.1f}", s.outlier) +
                      (s.not_finite > 0 ? fmt::format(" ({} not finite)", s.not_finite) : ""));
      cells.push_back(s.beyond_six > 0 ? fmt::format("{:.2g} %", s.beyond_six * 100) : "0");
    }
    if (!changes.empty()) {
      cells.resize(9);
      const OutputChange* change = find_change(changes, entry.name);
      cells.push_back(change == nullptr ? "" : fmt::format("{:.4f}", change->relative_error));
      cells.push_back(change == nullptr ? "" : fmt::format("{:.6f}", change->cosine_min));
    }
    cells.resize(header.size());
    table.add_row(cells);
  }
  return table.str();
}

int inspect_file(const std::filesystem::path& path, const CommonOptions& common,
                 const OutputChanges& changes) {
  const Safetensors file = read_safetensors(path);
  if (common.json) {
    Json list = Json::array(), metadata = Json::object();
    for (const auto& entry : file.tensors) list.push_back(tensor_json(entry, changes));
    for (const auto& [key, value] : file.metadata) metadata.set(key, value);
    print_json(Json::object({{"file", path.string()}, {"metadata", metadata}, {"tensors", list}}));
  } else {
    print_text(fmt::format("{}: {} tensors\n", path.string(), file.tensors.size()) +
               tensor_table(file.tensors, changes));
  }
  return kDone;
}

// Bytes by part: what a tensor's name says it belongs to.
std::string dtype_summary(const TensorMap& tensors) {
  std::map<std::string, std::size_t> bytes;
  for (const auto& entry : tensors) bytes[name_of(entry.tensor.type)] += entry.tensor.bytes.size();
  std::string text;
  for (const auto& [name, size] : bytes)
    text += (text.empty() ? "" : ", ") + name + " " + format_bytes(static_cast<double>(size));
  return text;
}

int run(const CommonOptions& common) {
  const OutputChanges changes = read_changes(options.sensitivity);
  if (options.model.ends_with(".safetensors")) return inspect_file(options.model, common, changes);
  const auto folder = resolve_model(options.model);
  const Model model = read_model(folder);
  const Description& d = model.description;
  auto costs = measure_cost(d, options.length);
  // Exits cost operations only where somebody asks for them.
  const std::vector<ExitSpec> own_exits = read_exits(model);
  for (const ExitSpec& exit : own_exits) costs.push_back({"exits", -1, count_parameters(exit), 0});
  const auto parts = sum_parts(costs);
  int64_t parameters = 0, flops = 0;
  for (const PartCost& part : parts) parameters += part.parameters, flops += part.flops;
  const FolderSize size = measure_folder(folder);
  const auto share = [](int64_t part, int64_t whole) {
    return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  if (common.json) {
    Json exits = Json::array();
    for (const ExitSpec& exit : own_exits) exits.push_back(exit.layer);
    Json part_list = Json::array(), layer_list = Json::array(), tensor_list = Json::array(),
         files = Json::array();
    for (const PartCost& part : parts) {
      part_list.push_back(
          Json::object({{"part", part.part}, {"parameters", part.parameters}, {"flops", part.flops}}));
    }
    for (const PartCost& cost : costs) {
      layer_list.push_back(Json::object({{"part", cost.part},
                                         {"layer", cost.layer},
                                         {"parameters", cost.parameters},
                                         {"flops", cost.flops}}));
    }
    for (const auto& entry : model.tensors) tensor_list.push_back(tensor_json(entry, changes));
    for (const SideFile& file : model.side_files) files.push_back(file.path);
    print_json(Json::object({{"folder", folder.string()},
                             {"family", d.family},
                             {"layers", d.num_layers},
                             {"exits", exits},
                             {"hidden_size", d.hidden_size},
                             {"max_positions", d.max_positions},
                             {"parameters", parameters},
                             {"bytes", static_cast<uint64_t>(size.weights)},
                             {"sequence_length", options.length},
                             {"flops", flops},
                             {"parts", part_list},
                             {"layer_parts", layer_list},
                             {"tensors", tensor_list},
                             {"files", files}}));
    return kDone;
  }
  print_text(fmt::format("{}: {}, {} layers, hidden size {}, {} positions, vocabulary {}\n", folder.string(),
                         d.family, d.num_layers, d.hidden_size, d.max_positions,
                         format_count(d.embedding.vocab_size)));
  print_text(fmt::format("{} parameters, {} of weights ({}), {} tensors\n", format_count(parameters),
                         format_bytes(static_cast<double>(size.weights)), dtype_summary(model.tensors),
                         model.tensors.size()));
  TextTable table({"part", "parameters", "share", fmt::format("MFLOP at {} tokens", options.length), "share"},
                  "lrrrr");
  for (const PartCost& part : options.layers ? costs : parts) {
    const std::string name = part.layer < 0 ? part.part : fmt::format("layer {} {}", part.layer, part.part);
    table.add_row({name, format_count(part.parameters),
                   fmt::format("{:.1f} %", share(part.parameters, parameters)),
                   fmt::format("{:.1f}", static_cast<double>(part.flops) * 1e-6),
                   fmt::format("{:.1f} %", share(part.flops, flops))});
  }
  table.add_rule();
  table.add_row(
      {"total", format_count(parameters), "", fmt::format("{:.1f}", static_cast<double>(flops) * 1e-6), ""});
  print_text(table.str());
  if (!own_exits.empty()) {
    std::string behind;
    for (const ExitSpec& exit : own_exits)
      behind += fmt::format("{}{}", behind.empty() ? "" : ", ", exit.layer);
    print_text(fmt::format("exits behind layer {}{}: --exit-entropy of classify and eval\n", behind,
                           own_exits.front().input == ExitInput::kMean ? ", of the mean of the tokens" : ""));
  }
  if (options.tensors || !changes.empty()) print_text("\n" + tensor_table(model.tensors, changes));
  return kDone;
}

}  // namespace

extern const Command inspect_command;
const Command inspect_command = {"inspect", "what is in a model: parts, sizes, FLOPs, tensors",
                                 "  penjing inspect minilm\n  penjing inspect minilm --tensors\n"
                                 "  penjing inspect minilm --sensitivity per-layer.json\n"
                                 "  penjing inspect path/model.safetensors --json",
                                 declare, run};

}  // namespace penjing::cli
