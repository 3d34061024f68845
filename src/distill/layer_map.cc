#include "distill/layer_map.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace penjing::distill {

namespace {

constexpr const char* kWanted =
    R"("uniform", "skip", "top", "last", "bottom", "final", "attention", pairs [[student, teacher], ...] or {"attention": [...], "teacher": [...]})";

int64_t read_layer(const Json& json, int64_t num_layers, const char* whose, const std::string& where) {
  if (!json.is_int()) fail(ErrorKind::kInput, "{}: {}, wanted a layer's number", where, json.dump());
  const int64_t number = json.as_int(where);
  const int64_t layer = number < 0 ? num_layers + 1 + number : number;
  if (layer < 0 || layer > num_layers) {
    fail(ErrorKind::kInput, "{}: layer {}, but the {} has {} (0 is its embeddings, -1 its last)", where,
         number, whose, num_layers);
  }
  return layer;
}

std::vector<int64_t> read_layers(const Json& json, int64_t num_layers, const char* whose,
                                 const std::string& where) {
  if (!json.is_array() || json.as_array(where).empty())
    fail(ErrorKind::kInput, "{}: {}, wanted a list of layers", where, json.dump());
  std::vector<int64_t> layers;
  for (const Json& item : json.as_array(where)) {
    layers.push_back(read_layer(item, num_layers, whose, where));
    if (std::count(layers.begin(), layers.end(), layers.back()) > 1)
      fail(ErrorKind::kInput, "{}: layer {} is there twice", where, layers.back());
  }
  return layers;
}

std::vector<int64_t> layers_from_1(int64_t num_layers) {
  std::vector<int64_t> layers(static_cast<std::size_t>(num_layers));
  std::iota(layers.begin(), layers.end(), int64_t{1});
  return layers;
}

LayerMap by_rule(const std::string& rule, int64_t m, int64_t n, const std::string& where) {
  LayerMap map;
  map.rule = rule;
  if (rule == "attention") {
    map.student = layers_from_1(m);
    map.teacher = layers_from_1(n);
    return map;
  }
  if (rule == "final") {
    map.pairs = {{m, n}};
    return map;
  }
  const bool spread = rule == "uniform" || rule == "skip", shifted = rule == "top" || rule == "last";
  if (!spread && !shifted && rule != "bottom")
    fail(ErrorKind::kInput, "{}: \"{}\", wanted {}", where, rule, kWanted);
  if (!spread && m > n) {
    fail(ErrorKind::kInput,
         "{}: \"{}\" wants a teacher of as many layers at least: {}, but the student has {}", where, rule, n,
         m);
  }
  const int64_t end = rule == "skip" || rule == "last" ? m - 1 : m;
  if (end < 1) fail(ErrorKind::kInput, "{}: \"{}\" leaves no layer of a student with one", where, rule);
  for (int64_t i = 1; i <= end; ++i) {
    map.pairs.push_back({i, spread ? (2 * i * n + m) / (2 * m) : shifted ? n - m + i : i});
  }
  return map;
}

LayerMap attention_of(const Json& json, int64_t m, int64_t n, const std::string& where) {
  LayerMap map;
  map.rule = "attention";
  map.teacher = layers_from_1(n);
  for (const auto& [key, value] : json.as_object(where)) {
    if (key == "attention") {
      map.student = read_layers(value, m, "student", where + ".attention");
    } else if (key == "teacher") {
      map.teacher = read_layers(value, n, "teacher", where + ".teacher");
    } else {
      fail(ErrorKind::kInput, "{}: unknown key \"{}\"; there are: attention, teacher", where, key);
    }
  }
  if (map.student.empty()) fail(ErrorKind::kInput, "{}: no \"attention\": [layers of the student]", where);
  return map;
}

}  // namespace

LayerMap read_layer_map(const Json& json, int64_t student_layers, int64_t teacher_layers,
                        const std::string& where) {
  if (json.is_string()) return by_rule(json.as_string(where), student_layers, teacher_layers, where);
  if (json.is_object()) return attention_of(json, student_layers, teacher_layers, where);
  if (!json.is_array() || json.as_array(where).empty())
    fail(ErrorKind::kInput, "{}: {}, wanted {}", where, json.dump(), kWanted);
  LayerMap map;
  map.rule = "pairs";
  for (const Json& item : json.as_array(where)) {
    if (!item.is_array() || item.as_array(where).size() != 2)
      fail(ErrorKind::kInput, "{}: {}, wanted [student, teacher]", where, item.dump());
    map.pairs.push_back({read_layer(item.as_array(where)[0], student_layers, "student", where),
                         read_layer(item.as_array(where)[1], teacher_layers, "teacher", where)});
  }
  return map;
}

Json to_json(const LayerMap& map) {
  const auto list = [](const std::vector<int64_t>& layers) {
    Json out = Json::array();
    for (const int64_t layer : layers) out.push_back(layer);
    return out;
  };
  if (map.is_attention()) {
    return Json::object({{"attention", list(map.student)}, {"teacher", list(map.teacher)}});
  }
  Json out = Json::array();
  for (const LayerPair& pair : map.pairs) out.push_back(list({pair.student, pair.teacher}));
  return out;
}

std::string describe(const LayerMap& map) {
  const auto list = [](const std::vector<int64_t>& layers) {
    std::string text;
    for (const int64_t layer : layers) text += (text.empty() ? "" : " ") + std::to_string(layer);
    return text;
  };
  if (map.rule == "none") return "-";
  if (map.is_attention()) return list(map.student) + " with a mixture of " + list(map.teacher);
  std::string text;
  if (map.rule != "pairs") text += map.rule + ":";
  for (const LayerPair& pair : map.pairs) {
    text += fmt::format("{}{}-{}", text.empty() ? "" : " ", pair.student, pair.teacher);
  }
  return text;
}

}  // namespace penjing::distill
