#include "compress/vocabulary_cut.h"

#include <algorithm>

#include "base/error.h"
#include "base/parse.h"
#include "compress/part_choice.h"
#include "text/vocabulary.h"

namespace penjing {

namespace {

// The new id of an old one that a file names.
int64_t renumber(int64_t old, const VocabularyCut& cut, const std::string& where) {
  if (old < 0 || old >= static_cast<int64_t>(cut.new_ids.size()))
    fail(ErrorKind::kFormat, "{}: id {}; the vocabulary has {}", where, old, cut.new_ids.size());
  const int32_t id = cut.new_ids[static_cast<std::size_t>(old)];
  if (id < 0) fail(ErrorKind::kInternal, "{}: id {} was not kept", where, old);
  return id;
}

void renumber(Json* value, const VocabularyCut& cut, const std::string& where) {
  if (value != nullptr && !value->is_null()) *value = renumber(value->as_int(where), cut, where);
}

// Every member NAME_token_id; a list of them too.
void renumber_config(Json& config, const VocabularyCut& cut, const std::string& where) {
  for (auto& [key, value] : config.as_object(where)) {
    if (!key.ends_with("_token_id") || value.is_null()) continue;
    if (value.is_array()) {
      for (Json& id : value.as_array(where)) renumber(&id, cut, where + ": " + key);
    } else {
      renumber(&value, cut, where + ": " + key);
    }
  }
}

// tokenizer.json without its vocabulary.
Json renumber_rules(const std::string& text, const VocabularyCut& cut) {
  const std::string where = "tokenizer.json";
  Json root = Json::parse(text, where);
  if (Json* added = root.find("added_tokens"); added != nullptr && added->is_array()) {
    for (Json& entry : added->as_array(where)) renumber(entry.find("id"), cut, where + ": added_tokens");
  }
  if (Json* padding = root.find("padding"); padding != nullptr && padding->is_object())
    renumber(padding->find("pad_id"), cut, where + ": padding");
  if (Json* processor = root.find("post_processor"); processor != nullptr && processor->is_object()) {
    for (const char* end : {"sep", "cls"}) {  // BertProcessing: [token, id]
      if (Json* pair = processor->find(end); pair != nullptr && pair->is_array())
        renumber(&pair->as_array(where).at(1), cut, where + ": post_processor");
    }
    if (Json* specials = processor->find("special_tokens"); specials != nullptr && specials->is_object()) {
      for (auto& [name, entry] : specials->as_object(where)) {
        if (Json* ids = entry.find("ids"); ids != nullptr) {
          for (Json& id : ids->as_array(where)) renumber(&id, cut, where + ": post_processor");
        }
      }
    }
  }
  return root;
}

int64_t vocabulary_size(const Tokenizer& tokenizer) {  // without added tokens beyond it
  return static_cast<int64_t>(tokenizer.stored().vocabulary.begin.size()) - 1;
}

std::string write_vocab_txt(std::string_view text, const Tokenizer& tokenizer, const VocabularyCut& cut) {
  std::vector<std::string> lines = split_at(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::string result;
  for (const int64_t old : cut.kept) {
    if (old >= vocabulary_size(tokenizer)) break;  // added tokens that follow it
    const auto line = static_cast<std::size_t>(old);
    std::string_view token = line < lines.size() ? std::string_view(lines[line]) : std::string_view();
    while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.remove_suffix(1);
    if (token != tokenizer.token(static_cast<int32_t>(old)))
      fail(ErrorKind::kFormat, "vocab.txt: line {} is \"{}\"; the tokenizer's id {} is \"{}\"", old + 1,
           token, old, tokenizer.token(static_cast<int32_t>(old)));
    result += lines[line] + "\n";
  }
  return result;
}

Json renumber_tokenizer_config(Json config, const VocabularyCut& cut) {
  const std::string where = "tokenizer_config.json: added_tokens_decoder";
  if (Json* decoder = config.find("added_tokens_decoder"); decoder != nullptr && decoder->is_object()) {
    for (auto& [id, token] : decoder->as_object(where))
      id = std::to_string(renumber(parse_integer(id, where), cut, where));
  }
  return config;
}

void cut_tensors(Model& model, const VocabularyCut& cut) {
  const auto cut_rows = [&](const std::string& name) {
    if (model.tensors.find(name) != nullptr) keep_rows(model, name, cut.kept);
  };
  const Description description = model.description;
  const auto cut_module = [&](const std::string& module) {
    for (const char* part : {".weight", ".weight_scale", ".weight_left", ".bias"}) cut_rows(module + part);
  };
  cut_module(description.embedding.word);
  if (const HeadSpec* head = description.find_head(HeadKind::kMaskedLm)) {
    cut_module(head->projection.name);
    if (model.tensors.find(head->projection_rest) != nullptr)
      keep_columns(model, head->projection_rest, cut.kept);
    if (!head->projection_bias.empty() && head->projection_bias != head->projection.name + ".bias")
      cut_rows(head->projection_bias);
  }
}

}  // namespace

VocabularyCut make_cut(const std::vector<bool>& keeps) {
  VocabularyCut cut;
  cut.new_ids.assign(keeps.size(), -1);
  for (std::size_t old = 0; old < keeps.size(); ++old) {
    if (!keeps[old]) continue;
    cut.new_ids[old] = static_cast<int32_t>(cut.kept.size());
    cut.kept.push_back(static_cast<int64_t>(old));
  }
  return cut;
}

void keep_required(const Model& model, const Tokenizer& tokenizer, std::vector<bool>& keeps) {
  const auto keep = [&](int64_t id) {
    if (id >= 0 && id < static_cast<int64_t>(keeps.size())) keeps[static_cast<std::size_t>(id)] = true;
  };
  keep(tokenizer.unk_id());
  keep(tokenizer.mask_id());
  const Json rules = Json::parse(tokenizer.stored().json, "tokenizer.json");
  if (const Json* added = rules.find("added_tokens"); added != nullptr && added->is_array()) {
    for (const Json& entry : added->as_array("tokenizer.json"))
      if (const Json* id = entry.find("id"); id != nullptr) keep(id->as_int("tokenizer.json: added_tokens"));
  }
  for (const int32_t id : tokenizer.encode_pair("", "").ids) keep(id);  // those of the template
  for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) keep(tokenizer.find_token(name));
  for (const auto& [key, value] : model.config.as_object("config.json")) {
    if (!key.ends_with("_token_id")) continue;
    if (value.is_number()) keep(value.as_int("config.json: " + key));
    if (value.is_array()) {
      for (const Json& id : value.as_array(key)) keep(id.as_int("config.json: " + key));
    }
  }
}

Json cut_tokenizer_json(const Tokenizer& tokenizer, const VocabularyCut& cut) {
  Json root = renumber_rules(std::string(tokenizer.stored().json), cut);
  Json vocabulary = Json::object();
  auto& members = vocabulary.as_object("vocab");
  for (std::size_t id = 0; id < cut.kept.size() && cut.kept[id] < vocabulary_size(tokenizer); ++id)
    members.emplace_back(std::string(tokenizer.token(static_cast<int32_t>(cut.kept[id]))),
                         Json(static_cast<int64_t>(id)));
  root.find("model")->set("vocab", std::move(vocabulary));
  return root;
}

void cut_vocabulary(Model& model, const Tokenizer& tokenizer, const VocabularyCut& cut) {
  if (model.description.embedding.vocab_size < tokenizer.vocab_size())
    fail(ErrorKind::kFormat, "the tokenizer has {} tokens, the embedding table {}", tokenizer.vocab_size(),
         model.description.embedding.vocab_size);
  cut_tensors(model, cut);
  model.config.set("vocab_size", static_cast<int64_t>(cut.kept.size()));
  renumber_config(model.config, cut, "config.json");
  for (SideFile& file : model.side_files) {
    const auto json = [&] { return Json::parse(file.text(), file.path); };
    if (file.path == "tokenizer.json") {
      file = {file.path, cut_tokenizer_json(tokenizer, cut).dump()};
    } else if (file.path == "vocab.txt") {
      file = {file.path, write_vocab_txt(file.text(), tokenizer, cut)};
    } else if (file.path == "tokenizer_config.json") {
      file = {file.path, renumber_tokenizer_config(json(), cut).dump(2) + "\n"};
    } else if (file.path == "added_tokens.json") {
      Json tokens = json();
      for (auto& [name, id] : tokens.as_object(file.path)) renumber(&id, cut, file.path);
      file = {file.path, tokens.dump(2) + "\n"};
    } else if (file.path == "generation_config.json") {
      Json config = json();
      renumber_config(config, cut, file.path);
      file = {file.path, config.dump(2) + "\n"};
    }
  }
  model.description = describe(model.config, model.tensors);
}

std::shared_ptr<const Tokenizer> cut_tokenizer(const std::filesystem::path& folder,
                                               const Tokenizer& tokenizer, const VocabularyCut& cut) {
  auto rules =
      std::make_shared<std::string>(renumber_rules(std::string(tokenizer.stored().json), cut).dump());
  auto vocabulary = std::make_shared<Vocabulary>();
  for (std::size_t id = 0; id < cut.kept.size() && cut.kept[id] < vocabulary_size(tokenizer); ++id)
    vocabulary->add(tokenizer.token(static_cast<int32_t>(cut.kept[id])), static_cast<int64_t>(id));
  vocabulary->finish("the smaller vocabulary");
  auto owner = std::make_shared<std::pair<std::shared_ptr<std::string>, std::shared_ptr<Vocabulary>>>(
      rules, vocabulary);
  return Tokenizer::load(folder, StoredTokenizer{*rules, vocabulary->tables(), owner});
}

}  // namespace penjing
