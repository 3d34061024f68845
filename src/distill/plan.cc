#include "distill/plan.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text_table.h"
#include "distill/turns.h"

namespace penjing::distill {

namespace {

const std::vector<std::string> kKeys = {"loss",  "name",        "params",       "weight", "ramp",
                                        "from",  "to",          "layers",       "reduce", "projection",
                                        "heads", "progressive", "earlier_rate", "balance"};
constexpr double kEarlierRate = 0.1;  // of Sun et al. 2020, as their released script has it
const std::vector<std::string> kProjectionKeys = {"name", "per_layer", "bias", "init", "deviation"};
constexpr const char* kInits[] = {"normal", "identity", "svd", "least_squares"};

void check_keys(const Json& json, const std::vector<std::string>& keys, const std::string& where) {
  for (const auto& [key, value] : json.as_object(where)) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      fail(ErrorKind::kInput, "{}: unknown key \"{}\"; did you mean \"{}\"?", where, key, nearest(key, keys));
  }
}

double read_number(const Json& json, const std::string& where, double low, double high) {
  if (!json.is_number() || !(json.as_double(where) >= low && json.as_double(where) <= high))
    fail(ErrorKind::kInput, "{}: {}, wanted a number from {} to {}", where, json.dump(), low, high);
  return json.as_double(where);
}

std::string read_word(const Json& json, const std::string& where, std::initializer_list<const char*> words) {
  std::string wanted;
  for (const char* word : words) {
    if (json.is_string() && json.as_string(where) == word) return word;
    wanted += (wanted.empty() ? "\"" : ", \"") + std::string(word) + "\"";
  }
  fail(ErrorKind::kInput, "{}: {}, wanted {}", where, json.dump(), wanted);
}

// Widths that a term's loss sees, place by place.
struct Widths {
  int64_t student = 0, teacher = 0;
};

class TermReader {
 public:
  TermReader(const Json& json, std::string where, const ModelShape& student, const ModelShape& teacher)
      : json_(json), where_(std::move(where)), student_(student), teacher_(teacher) {}

  // One term, or where its layers take turns one for each.
  std::vector<LossTerm> read() {
    if (!json_.is_object()) fail(ErrorKind::kInput, "{}: {}, wanted an object", where_, json_.dump());
    check_keys(json_, kKeys, where_);
    read_kind();
    term_.name = term_.kind->name;
    if (const Json* name = json_.find("name"); name != nullptr) {
      if (!name->is_string() || name->as_string("").empty() ||
          name->as_string("").find_first_of(". ") != std::string::npos)
        fail(ErrorKind::kInput, "{}: {}, wanted a word", key("name"), name->dump());
      term_.name = name->as_string("");
    }
    read_stage();
    read_layers();
    if (const Json* reduce = json_.find("reduce"); reduce != nullptr) {
      term_.mean_over_layers = read_word(*reduce, key("reduce"), {"sum", "mean"}) == "mean";
    }
    read_heads();
    read_projection();
    check_matryoshka();
    const bool progressive = read_turns();
    read_balance(progressive);
    return progressive ? take_turns(term_) : std::vector<LossTerm>{term_};
  }

 private:
  std::string key(const char* name) const { return where_ + "." + name; }
  bool reads(unsigned needs) const { return (term_.needs & needs) != 0; }

  void read_kind() {
    const Json* loss = json_.find("loss");
    std::vector<std::string> names;
    for (const LossKind* kind : all_losses()) names.emplace_back(kind->name);
    if (loss == nullptr || !loss->is_string())
      fail(ErrorKind::kInput, "{}: wanted the name of a loss", key("loss"));
    term_.kind = find_loss(loss->as_string(""));
    if (term_.kind == nullptr) {
      fail(ErrorKind::kInput, "{}: \"{}\"; did you mean \"{}\"?", key("loss"), loss->as_string(""),
           nearest(loss->as_string(""), names));
    }
    const Json* params = json_.find("params");
    if (params != nullptr && !params->is_object())
      fail(ErrorKind::kInput, "{}: {}, wanted an object", key("params"), params->dump());
    try {
      term_.params = resolve_loss_params(*term_.kind, params == nullptr ? Json::object() : *params);
      term_.needs = term_.kind->needs(term_.params);
    } catch (const Error& error) {
      fail(error.kind(), "{}: {}", key("params"), error.what());
    }
  }

  void read_stage() {
    if (const Json* from = json_.find("from"); from != nullptr)
      term_.from = read_number(*from, key("from"), 0, 1);
    if (const Json* to = json_.find("to"); to != nullptr) term_.to = read_number(*to, key("to"), 0, 1);
    if (!(term_.from < term_.to)) {
      fail(ErrorKind::kInput, "{}: from {} to {} is no stage of the training", where_, term_.from, term_.to);
    }
    const Json* weight = json_.find("weight");
    const bool ramps = weight != nullptr && weight->is_array();
    if (ramps && weight->as_array("").size() != 2)
      fail(ErrorKind::kInput, "{}: {}, wanted a number or [start, end]", key("weight"), weight->dump());
    if (weight != nullptr) {
      term_.weight = read_number(ramps ? weight->as_array("")[0] : *weight, key("weight"), 0, 1e9);
      term_.end_weight = ramps ? read_number(weight->as_array("")[1], key("weight"), 0, 1e9) : term_.weight;
    }
    const Json* ramp = json_.find("ramp");
    if (ramps) term_.ramp = term_.to - term_.from;
    if (ramp == nullptr) return;
    const double share = read_number(*ramp, key("ramp"), 0, 1);
    if (!ramps && share > 0)
      fail(ErrorKind::kInput, "{}: {}, but the weight is one number; wanted [start, end]", key("ramp"),
           share);
    if (share > term_.to - term_.from + 1e-12) {
      fail(ErrorKind::kInput, "{}: {}, but the stage is {} of the training", key("ramp"), share,
           term_.to - term_.from);
    }
    term_.ramp = share;
  }

  // Whether the layers take turns.
  bool read_turns() {
    const Json *turns = json_.find("progressive"), *rate = json_.find("earlier_rate");
    if (turns != nullptr && !turns->is_bool())
      fail(ErrorKind::kInput, "{}: {}, wanted true or false", key("progressive"), turns->dump());
    const bool progressive = turns != nullptr && turns->as_bool("");
    if (progressive) term_.earlier_rate = kEarlierRate;
    if (rate != nullptr) term_.earlier_rate = read_number(*rate, key("earlier_rate"), 0, 1);
    if (term_.earlier_rate == 1 && !progressive) return false;
    const char* which = progressive ? "progressive" : "earlier_rate";
    if (!reads(kLayered) || term_.layers.is_attention()) {
      fail(ErrorKind::kInput, "{}: wants pairs of layers; {} has {}", key(which), term_.kind->name,
           reads(kLayered) ? "a mixture of them" : "none");
    }
    if (progressive && term_.weight != term_.end_weight)
      fail(ErrorKind::kInput, "{}: wants a weight that is one number", key(which));
    return progressive;
  }

  void read_balance(bool progressive) {
    const Json* balance = json_.find("balance");
    if (balance == nullptr) return;
    term_.balance = read_number(*balance, key("balance"), 0, 1e6);
    if (term_.balance == 0) return;
    if (progressive) fail(ErrorKind::kInput, "{}: layers that take turns want a weight", key("balance"));
    if (std::max(term_.weight, term_.end_weight) == 0)
      fail(ErrorKind::kInput, "{}: {}, of a weight of 0", key("balance"), term_.balance);
  }

  void read_layers() {
    const Json* layers = json_.find("layers");
    if (!reads(kLayered)) {
      if (layers != nullptr && !layers->is_null()) {
        fail(ErrorKind::kInput, "{}: {} reads no layers, but {}", key("layers"), term_.kind->name,
             describe_needs(term_.needs));
      }
      return;
    }
    for (const auto& [shape, whose] : {std::pair{&student_, "student"}, std::pair{&teacher_, "teacher"}}) {
      if (shape->num_layers() == 0) {
        fail(ErrorKind::kInput, "{}: {} reads {}, but the {} has no layers (answers in a file?)",
             key("layers"), term_.kind->name, describe_needs(term_.needs & kLayered), whose);
      }
    }
    // Relations, of tokens (MiniLM) or of examples (RKD, PKT, CC, CRD in RepDistiller), are the last layer's.
    const bool of_examples = term_.params.contains("of") && !reads(kEqualWidths | kScores | kAttention);
    const Json by_default = of_examples || reads(kQuery | kKey | kValue) ? "final" : "uniform";
    term_.layers = read_layer_map(layers == nullptr ? by_default : *layers, student_.num_layers(),
                                  teacher_.num_layers(), key("layers"));
    if (term_.layers.is_attention() && reads(kQuery | kKey | kValue)) {
      fail(ErrorKind::kInput, "{}: a mixture of layers has no queries, keys and values, which {} reads",
           key("layers"), term_.kind->name);
    }
    if (!reads(kLayered & ~kStates)) return;
    for (const LayerPair& pair : all_pairs()) {
      check_attention(student_, pair.student, "student");
      check_attention(teacher_, pair.teacher, "teacher");
    }
  }

  void check_attention(const ModelShape& shape, int64_t layer, const char* whose) const {
    if (layer == 0) fail(ErrorKind::kInput, "{}: layer 0, the embeddings, has no attention", key("layers"));
    if (shape.heads[static_cast<std::size_t>(layer - 1)] == 0)
      fail(ErrorKind::kInput, "{}: layer {} of the {} has no attention", key("layers"), layer, whose);
  }

  // Every pair of a student's and a teacher's layer that the term compares or mixes.
  std::vector<LayerPair> all_pairs() const {
    std::vector<LayerPair> pairs = term_.layers.pairs;
    for (const int64_t student : term_.layers.student) {
      for (const int64_t teacher : term_.layers.teacher) pairs.push_back({student, teacher});
    }
    return pairs;
  }

  void read_heads() {
    const Json* heads = json_.find("heads");
    const bool given = heads != nullptr && !(heads->is_string() && heads->as_string("") == "equal");
    if (given && !reads(kScores | kAttention))
      fail(ErrorKind::kInput, "{}: {} compares no attention head by head", key("heads"), term_.kind->name);
    if (given && heads->is_array()) {
      read_head_pairs(*heads);
    } else if (given) {
      term_.heads.rule = read_word(*heads, key("heads"), {"equal", "mean"});
    }
    if (!reads(kScores | kAttention | kEqualHeads)) return;
    for (const LayerPair& pair : all_pairs()) {
      const int64_t s = student_.heads[static_cast<std::size_t>(pair.student - 1)];
      const int64_t t = teacher_.heads[static_cast<std::size_t>(pair.teacher - 1)];
      if (t != teacher_.heads[static_cast<std::size_t>(all_pairs().front().teacher - 1)] &&
          term_.layers.is_attention())
        fail(ErrorKind::kInput, "{}: layers of as many heads alone can be mixed", key("layers"));
      const std::string what = fmt::format("student's layer {} has {} heads, teacher's layer {} has {}",
                                           pair.student, s, pair.teacher, t);
      if (term_.heads.rule == "equal" && s != t) {
        fail(ErrorKind::kInput, "{}: {}; {}", key("heads"), what,
             reads(kEqualHeads) ? "choose relation_heads"
                                : "wanted as many, \"mean\" or pairs [[student, teacher], ...]");
      }
      if (term_.heads.rule == "mean" && std::max(s, t) % std::min(s, t) != 0)
        fail(ErrorKind::kInput, "{}: {}: \"mean\" wants groups of one size", key("heads"), what);
      for (const LayerPair& head : term_.heads.pairs) {
        if (head.student >= s || head.teacher >= t) {
          fail(ErrorKind::kInput, "{}: [{}, {}], but {} (the first is 0)", key("heads"), head.student,
               head.teacher, what);
        }
      }
    }
  }

  void read_head_pairs(const Json& heads) {
    term_.heads.rule = "pairs";
    for (const Json& item : heads.as_array("")) {
      if (!item.is_array() || item.as_array("").size() != 2 || !item.as_array("")[0].is_int() ||
          !item.as_array("")[1].is_int() || item.as_array("")[0].as_int("") < 0 ||
          item.as_array("")[1].as_int("") < 0)
        fail(ErrorKind::kInput, "{}: {}, wanted [student, teacher]", key("heads"), item.dump());
      term_.heads.pairs.push_back({item.as_array("")[0].as_int(""), item.as_array("")[1].as_int("")});
    }
    if (term_.heads.pairs.empty()) fail(ErrorKind::kInput, "{}: [], wanted pairs of heads", key("heads"));
  }

  // Of the places, or of what else is compared.
  std::vector<Widths> widths() const {
    if (reads(kEmbeddings)) return {{student_.embedding, teacher_.embedding}};
    if (!reads(kStates)) return {{student_.logits, teacher_.logits}};
    std::vector<Widths> out;
    const auto width = [](const ModelShape& shape, int64_t layer) {
      return shape.widths[static_cast<std::size_t>(layer)];
    };
    for (const LayerPair& pair : term_.layers.pairs)
      out.push_back({width(student_, pair.student), width(teacher_, pair.teacher)});
    for (const int64_t student : term_.layers.student) {
      for (const int64_t teacher : term_.layers.teacher) {
        if (width(teacher_, teacher) != width(teacher_, term_.layers.teacher.front()))
          fail(ErrorKind::kInput, "{}: layers of one width alone can be mixed", key("layers"));
      }
      out.push_back({width(student_, student), width(teacher_, term_.layers.teacher.front())});
    }
    return out;
  }

  void check_matryoshka() {
    const Json* dims = term_.params.find("matryoshka");
    if (dims == nullptr || dims->is_null() || dims->dump() == "[]" || dims->dump() == "\"\"") return;
    if (term_.projection) {
      fail(ErrorKind::kInput,
           "{}: the first numbers of a projection are not the student's ({} numbers, the teacher's have {}); "
           "the loss contrastive compares similarities instead",
           key("params.matryoshka"), student_.embedding, teacher_.embedding);
    }
  }

  void read_projection() {
    const Json* given = json_.find("projection");
    const bool asked = given != nullptr && !(given->is_bool() && !given->as_bool(""));
    if (!reads(kEqualWidths) || !reads(kStates | kEmbeddings)) {
      if (asked) {
        fail(ErrorKind::kInput, "{}: {} compares no rows of equal width", key("projection"),
             term_.kind->name);
      }
      if (reads(kEqualWidths)) {
        for (const Widths& width : widths()) {
          if (width.student != width.teacher)
            fail(ErrorKind::kInput, "{}: {} wants as many logits of both, but there are {} and {}", where_,
                 term_.kind->name, width.student, width.teacher);
        }
      }
      return;
    }
    const std::vector<Widths> all = widths();
    const auto differs =
        std::find_if(all.begin(), all.end(), [](const Widths& w) { return w.student != w.teacher; });
    if (given != nullptr && !asked && differs != all.end()) {
      fail(ErrorKind::kInput, "{}: false, but widths are {} and {} of the teacher", key("projection"),
           differs->student, differs->teacher);
    }
    if (!asked && differs == all.end()) return;
    Projection& projection = term_.projection.emplace();
    projection.name = term_.name;
    if (asked && given->is_object()) {
      read_fields(*given, projection);
    } else if (asked && !given->is_bool()) {
      fail(ErrorKind::kInput, "{}: {}, wanted true, false or an object", key("projection"), given->dump());
    }
    if (projection.per_layer) return;
    for (const Widths& width : all) {
      if (width.student != all.front().student || width.teacher != all.front().teacher)
        fail(ErrorKind::kInput, "{}: per_layer: false, but layers have different widths", key("projection"));
    }
  }

  void read_fields(const Json& json, Projection& projection) {
    const std::string where = key("projection");
    check_keys(json, kProjectionKeys, where);
    const auto flag = [&](const char* name, bool fallback) {
      const Json* value = json.find(name);
      if (value == nullptr) return fallback;
      if (!value->is_bool())
        fail(ErrorKind::kInput, "{}.{}: {}, wanted true or false", where, name, value->dump());
      return value->as_bool("");
    };
    projection.per_layer = flag("per_layer", true);
    projection.bias = flag("bias", true);
    if (const Json* init = json.find("init"); init != nullptr)
      projection.init = read_word(*init, where + ".init", {kInits[0], kInits[1], kInits[2], kInits[3]});
    if (const Json* deviation = json.find("deviation"); deviation != nullptr)
      projection.deviation = read_number(*deviation, where + ".deviation", 0, 10);
    if (const Json* name = json.find("name"); name != nullptr) {
      if (!name->is_string() || name->as_string("").empty() ||
          name->as_string("").find_first_of(". ") != std::string::npos)
        fail(ErrorKind::kInput, "{}.name: {}, wanted a word", where, name->dump());
      projection.name = name->as_string("");
    }
  }

  const Json& json_;
  std::string where_;
  const ModelShape& student_;
  const ModelShape& teacher_;
  LossTerm term_;
};

// Widths of a shared projection's first place.
Widths first_widths(const LossTerm& term, const ModelShape& student, const ModelShape& teacher) {
  if ((term.needs & kEmbeddings) != 0) return {student.embedding, teacher.embedding};
  const bool mixed = term.layers.is_attention();
  const int64_t s = mixed ? term.layers.student.front() : term.layers.pairs.front().student;
  const int64_t t = mixed ? term.layers.teacher.front() : term.layers.pairs.front().teacher;
  return {student.widths[static_cast<std::size_t>(s)], teacher.widths[static_cast<std::size_t>(t)]};
}

void check_shared_projections(const Plan& plan, const ModelShape& student, const ModelShape& teacher) {
  for (std::size_t i = 0; i < plan.terms.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const auto& a = plan.terms[j].projection;
      const auto& b = plan.terms[i].projection;
      if (!a || !b || a->name != b->name) continue;
      const Widths x = first_widths(plan.terms[j], student, teacher),
                   y = first_widths(plan.terms[i], student, teacher);
      if (a->per_layer || b->per_layer || a->bias != b->bias || a->init != b->init ||
          a->deviation != b->deviation || x.student != y.student || x.teacher != y.teacher) {
        fail(ErrorKind::kInput,
             "losses.{}.projection: \"{}\" is shared with losses.{}: both want per_layer false and the same "
             "fields and widths",
             i, b->name, j);
      }
    }
  }
}

Json to_json(const Projection& projection) {
  return Json::object({{"name", projection.name},
                       {"per_layer", projection.per_layer},
                       {"bias", projection.bias},
                       {"init", projection.init},
                       {"deviation", projection.deviation}});
}

std::string describe_params(const Json& params) {
  std::string text;
  for (const auto& [name, value] : params.as_object("params")) {
    text += (text.empty() ? "" : " ") + name + "=" + (value.is_string() ? value.as_string("") : value.dump());
  }
  return text.empty() ? "-" : text;
}

}  // namespace

ModelShape shape_of(const Description& description) {
  ModelShape shape;
  shape.widths.assign(static_cast<std::size_t>(description.num_layers) + 1, description.hidden_size);
  shape.widths[0] = description.embedding.out();
  shape.heads.assign(static_cast<std::size_t>(description.num_layers), 0);
  for (const Block& block : description.blocks) {
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention != nullptr) shape.heads.at(static_cast<std::size_t>(block.layer)) = attention->num_heads;
  }
  shape.embedding = description.hidden_size;
  const HeadSpec* classifier = description.find_head(HeadKind::kSequenceClassifier);
  if (classifier != nullptr) shape.logits = classifier->projection.out;
  return shape;
}

bool has_balance(const Plan& plan) {
  return std::any_of(plan.terms.begin(), plan.terms.end(), [](const LossTerm& t) { return t.balance > 0; });
}

double weight_at(const LossTerm& term, double progress) {
  if (progress < term.from || progress > term.to || (progress == term.to && term.to < 1)) return 0;
  if (term.ramp <= 0 || progress >= term.from + term.ramp) return term.end_weight;
  return term.weight + (term.end_weight - term.weight) * (progress - term.from) / term.ramp;
}

Plan read_plan(const Json& losses, const ModelShape& student, const ModelShape& teacher) {
  if (!losses.is_array() || losses.as_array("").empty())
    fail(ErrorKind::kInput, "losses: {}, wanted a list of losses", losses.dump().substr(0, 80));
  Plan plan;
  std::set<std::string> names;
  std::size_t number = 0;
  for (const Json& item : losses.as_array("")) {
    const std::string where = fmt::format("losses.{}", number);
    for (LossTerm& term : TermReader(item, where, student, teacher).read()) {
      if (!names.insert(term.name).second)
        fail(ErrorKind::kInput, "{}.name: there is a loss \"{}\" already; give this another", where,
             term.name);
      plan.terms.push_back(std::move(term));
    }
    ++number;
  }
  check_shared_projections(plan, student, teacher);
  if (plan.terms.front().balance > 0) {
    fail(ErrorKind::kInput, "losses.0.balance: the first loss is what the others are measured by");
  }
  return plan;
}

Json to_json(const Plan& plan) {
  Json out = Json::array();
  for (const LossTerm& term : plan.terms) {
    const bool ramps = term.ramp > 0 || term.weight != term.end_weight;
    const Json weight =
        ramps ? Json(Json::Array{Json(term.weight), Json(term.end_weight)}) : Json(term.weight);
    Json json = Json::object({{"loss", term.kind->name},
                              {"name", term.name},
                              {"params", term.params},
                              {"weight", weight},
                              {"ramp", term.ramp},
                              {"from", term.from},
                              {"to", term.to}});
    if (term.earlier_rate != 1) json.set("earlier_rate", term.earlier_rate);
    if (term.balance != 0) json.set("balance", term.balance);
    if (term.layers.rule != "none") {
      json.set("layers", to_json(term.layers));
      json.set("reduce", term.mean_over_layers ? "mean" : "sum");
    }
    if ((term.needs & (kScores | kAttention)) != 0) {
      Json pairs = Json::array();
      for (const LayerPair& pair : term.heads.pairs)
        pairs.push_back(Json(Json::Array{Json(pair.student), Json(pair.teacher)}));
      json.set("heads", term.heads.rule == "pairs" ? pairs : Json(term.heads.rule));
    }
    if ((term.needs & kEqualWidths) != 0 && (term.needs & (kStates | kEmbeddings)) != 0)
      json.set("projection", term.projection ? to_json(*term.projection) : Json(false));
    out.push_back(json);
  }
  return out;
}

std::string explain(const Plan& plan, const ModelShape& student, const ModelShape& teacher) {
  TextTable table({"loss", "reads", "layers (student-teacher)", "maps", "weight", "stage", "parameters"},
                  "lllllll");
  for (const LossTerm& term : plan.terms) {
    std::string maps;
    if (term.projection) {
      const Widths width = first_widths(term, student, teacher);
      maps = fmt::format("{}->{} {}{}{} \"{}\"", width.student, width.teacher, term.projection->init,
                         term.projection->bias ? "" : ", no bias",
                         term.projection->per_layer ? "" : ", shared", term.projection->name);
    }
    if (term.heads.rule != "equal")
      maps += (maps.empty() ? "heads: " : "; heads: ") +
              (term.heads.rule == "mean" ? "mean" : std::to_string(term.heads.pairs.size()) + " pairs");
    std::string weight = fmt::format("{}", term.weight);
    if (term.weight != term.end_weight)
      weight += fmt::format(" -> {} in {:.0f} %", term.end_weight, 100 * term.ramp);
    if (term.balance > 0)
      weight += fmt::format(", times {} gradients of {}", term.balance, plan.terms[0].name);
    std::string layers = describe(term.layers);
    if (term.layers.num_places() > 1) layers += term.mean_over_layers ? " (mean)" : " (sum)";
    std::string stage = term.from == 0 && term.to == 1
                            ? "all"
                            : fmt::format("{:.0f}-{:.0f} %", 100 * term.from, 100 * term.to);
    if (term.earlier_rate != 1) stage += fmt::format(", earlier layers x{}", term.earlier_rate);
    table.add_row({term.name == term.kind->name ? term.name : term.name + " (" + term.kind->name + ")",
                   describe_needs(term.needs), layers, maps.empty() ? "-" : maps, weight, stage,
                   describe_params(term.params)});
  }
  return table.str();
}

}  // namespace penjing::distill
