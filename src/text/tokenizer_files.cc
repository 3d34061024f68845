// Reading tokenizer.json and vocab.txt. Both are hostile until parsed: the vocabulary is read as a stream,
// the rest of tokenizer.json into a tree with a bound on its nodes.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "text/tokenizer_state.h"
#include "text/unicode.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxFileBytes = 256u << 20;
constexpr int64_t kMaxNodes = 1 << 20;

// Builds a Json tree of everything but the object at model.vocab, which goes to a Vocabulary.
class TokenizerJsonReader : public JsonHandler {
 public:
  TokenizerJsonReader(std::string file, Vocabulary& vocabulary)
      : file_(std::move(file)), vocabulary_(vocabulary) {}

  Json root;

  void on_null() override { place(Json()); }
  void on_bool(bool value) override { place(Json(value)); }
  void on_int(int64_t value) override {
    if (in_vocabulary_) {
      vocabulary_.add(key_, value);
    } else {
      place(Json(value));
    }
  }
  void on_double(double value) override { place(Json(value)); }
  void on_string(std::string&& value) override { place(Json(std::move(value))); }
  void on_key(std::string&& key) override {
    if (!in_vocabulary_ && levels_.back().contains(key)) {
      fail(ErrorKind::kFormat, "{}: duplicate key \"{}\"", file_, key);
    }
    key_ = std::move(key);
  }
  void begin_object() override {
    if (in_vocabulary_)
      fail(ErrorKind::kFormat, "{}: model.vocab: token \"{}\" is an object, wanted an id", file_, key_);
    if (levels_.size() == 2 && keys_.back() == "model" && key_ == "vocab") {
      in_vocabulary_ = true;
      return;
    }
    open(Json::object());
  }
  void end_object() override {
    if (in_vocabulary_) {
      in_vocabulary_ = false;
    } else {
      close();
    }
  }
  void begin_array() override {
    if (in_vocabulary_)
      fail(ErrorKind::kFormat, "{}: model.vocab: token \"{}\" is an array, wanted an id", file_, key_);
    open(Json::array());
  }
  void end_array() override { close(); }

 private:
  void open(Json value) {
    count();
    levels_.push_back(std::move(value));
    keys_.push_back(std::move(key_));
  }
  void close() {
    Json value = std::move(levels_.back());
    levels_.pop_back();
    key_ = std::move(keys_.back());
    keys_.pop_back();
    place(std::move(value));
  }
  void count() {
    if (++nodes_ > kMaxNodes)
      fail(ErrorKind::kResource, "{}: more than {} values beside the vocabulary", file_, kMaxNodes);
  }
  void place(Json value) {
    if (in_vocabulary_)
      fail(ErrorKind::kFormat, "{}: model.vocab: token \"{}\" is a {}, wanted an id", file_, key_,
           value.type_name());
    count();
    if (levels_.empty()) {
      root = std::move(value);
    } else if (levels_.back().is_array()) {
      levels_.back().push_back(std::move(value));
    } else {
      levels_.back().as_object(file_).emplace_back(std::move(key_), std::move(value));
    }
  }

  std::string file_;
  Vocabulary& vocabulary_;
  std::vector<Json> levels_;
  std::vector<std::string> keys_;
  std::string key_;
  bool in_vocabulary_ = false;
  int64_t nodes_ = 0;
};

const Json* find_object(const Json& parent, std::string_view key) {
  const Json* value = parent.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool flag(const Json& parent, std::string_view key, bool fallback, const std::string& where) {
  const Json* value = find_object(parent, key);
  return value == nullptr ? fallback : value->as_bool(fmt::format("{}: {}", where, key));
}

std::string type_of(const Json& part, const std::string& where) {
  const Json* type = part.find("type");
  if (type == nullptr) fail(ErrorKind::kFormat, "{}: type is missing", where);
  return type->as_string(where + ": type");
}

BertNormalization read_normalizer(const Json* part, const std::string& file) {
  if (part == nullptr) return {false, false, false, false};
  const std::string where = file + ": normalizer", type = type_of(*part, where);
  if (type != "BertNormalizer") {
    fail(ErrorKind::kUnsupported, "{}: type \"{}\"; supported: BertNormalizer", where, type);
  }
  BertNormalization rules;
  rules.clean_text = flag(*part, "clean_text", true, where);
  rules.chinese_chars = flag(*part, "handle_chinese_chars", true, where);
  rules.lowercase = flag(*part, "lowercase", true, where);
  rules.strip_accents = flag(*part, "strip_accents", rules.lowercase, where);
  return rules;
}

int32_t known_id(const Json& value, const TokenizerBuilder::State& state, const std::string& where) {
  const int64_t id = value.as_int(where);
  const int64_t size = state.vocabulary.size() + static_cast<int64_t>(state.extra_tokens.size());
  if (id < 0 || id >= size) fail(ErrorKind::kFormat, "{}: id {} outside [0, {})", where, id, size);
  return static_cast<int32_t>(id);
}

void read_added_tokens(const Json& root, const std::string& file, TokenizerBuilder::State& state) {
  const Json* list = find_object(root, "added_tokens");
  if (list == nullptr) return;
  const std::string where = file + ": added_tokens";
  std::vector<std::pair<int64_t, std::string>> beyond;
  for (const Json& entry : list->as_array(where)) {
    AddedToken token;
    const Json *content = entry.find("content"), *id = entry.find("id");
    if (content == nullptr || id == nullptr)
      fail(ErrorKind::kFormat, "{}: an entry lacks id or content", where);
    token.content = content->as_string(where + ": content");
    if (token.content.empty()) fail(ErrorKind::kFormat, "{}: an empty token", where);
    const int64_t number = id->as_int(where + ": id");
    if (number < 0 || number >= 1 << 24)
      fail(ErrorKind::kFormat, "{}: \"{}\" has id {}", where, token.content, number);
    if (flag(entry, "single_word", false, where)) {
      fail(ErrorKind::kUnsupported, "{}: \"{}\" is single_word, which is not supported", where,
           token.content);
    }
    token.lstrip = flag(entry, "lstrip", false, where);
    token.rstrip = flag(entry, "rstrip", false, where);
    token.special = flag(entry, "special", false, where);
    token.normalized = flag(entry, "normalized", !token.special, where);
    const int32_t known = state.vocabulary.find(token.content);
    if (known >= 0 && known != number) {
      fail(ErrorKind::kFormat, "{}: \"{}\" has id {} here and {} in the vocabulary", where, token.content,
           number, known);
    }
    if (known < 0) {
      if (number < state.vocabulary.size()) {
        fail(ErrorKind::kFormat, "{}: \"{}\" has id {}, which the vocabulary gives to \"{}\"", where,
             token.content, number, state.vocabulary.token(static_cast<int32_t>(number)));
      }
      beyond.emplace_back(number, token.content);
    }
    token.id = static_cast<int32_t>(number);
    token.points = decode_utf8(token.content);
    if (token.normalized) {
      NormalizedText normal;
      normalize(state.normalization, token.points, 0, normal);
      if (!normal.points.empty()) token.points = std::move(normal.points);
    }
    state.added.push_back(std::move(token));
  }
  std::sort(beyond.begin(), beyond.end());
  for (std::size_t i = 0; i < beyond.size(); ++i) {
    const int64_t wanted = state.vocabulary.size() + static_cast<int64_t>(i);
    if (beyond[i].first != wanted) {
      fail(ErrorKind::kFormat, "{}: \"{}\" has id {}; wanted {}: ids must be dense", where, beyond[i].second,
           beyond[i].first, wanted);
    }
    state.extra_tokens.push_back(beyond[i].second);
  }
}

std::vector<TemplatePiece> read_template(const Json& processor, const char* key, const std::string& file,
                                         const TokenizerBuilder::State& state) {
  const std::string where = fmt::format("{}: post_processor.{}", file, key);
  const Json* list = processor.find(key);
  if (list == nullptr) fail(ErrorKind::kFormat, "{} is missing", where);
  const Json* specials = processor.find("special_tokens");
  std::vector<TemplatePiece> pieces;
  for (const Json& entry : list->as_array(where)) {
    TemplatePiece piece;
    const Json *sequence = entry.find("Sequence"), *special = entry.find("SpecialToken");
    const Json* body = sequence != nullptr ? sequence : special;
    const Json* id = body != nullptr ? body->find("id") : nullptr;
    const Json* type_id = body != nullptr ? body->find("type_id") : nullptr;
    if (id == nullptr || type_id == nullptr)
      fail(ErrorKind::kFormat, "{}: wanted Sequence or SpecialToken with id and type_id", where);
    const int64_t type = type_id->as_int(where);
    if (type < 0 || type > 1 << 16) fail(ErrorKind::kFormat, "{}: type_id {}", where, type);
    piece.type_id = static_cast<int32_t>(type);
    const std::string& name = id->as_string(where);
    if (sequence != nullptr) {
      if (name != "A" && name != "B")
        fail(ErrorKind::kFormat, "{}: Sequence \"{}\", wanted A or B", where, name);
      piece.sequence = name == "A" ? 0 : 1;
    } else {
      const Json* token = specials != nullptr ? specials->find(name) : nullptr;
      const Json* ids = token != nullptr ? token->find("ids") : nullptr;
      if (ids == nullptr) fail(ErrorKind::kFormat, "{}: special token \"{}\" has no ids", where, name);
      for (const Json& value : ids->as_array(where)) piece.ids.push_back(known_id(value, state, where));
    }
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

void use_bert_template(TokenizerBuilder::State& state, int32_t cls, int32_t sep) {
  state.single = {{-1, 0, {cls}}, {0, 0, {}}, {-1, 0, {sep}}};
  state.pair = {{-1, 0, {cls}}, {0, 0, {}}, {-1, 0, {sep}}, {1, 1, {}}, {-1, 1, {sep}}};
}

// Two separators between the texts, no types. trim_offsets is of tokens with spaces, which WordPiece has not.
void use_roberta_template(TokenizerBuilder::State& state, int32_t cls, int32_t sep) {
  state.single = {{-1, 0, {cls}}, {0, 0, {}}, {-1, 0, {sep}}};
  state.pair = {{-1, 0, {cls}}, {0, 0, {}}, {-1, 0, {sep, sep}}, {1, 0, {}}, {-1, 0, {sep}}};
}

void read_post_processor(const Json* part, const std::string& file, TokenizerBuilder::State& state) {
  if (part == nullptr) {
    state.single = {{0, 0, {}}};
    state.pair = {{0, 0, {}}, {1, 1, {}}};
    return;
  }
  const std::string where = file + ": post_processor", type = type_of(*part, where);
  if (type == "TemplateProcessing") {
    state.single = read_template(*part, "single", file, state);
    state.pair = read_template(*part, "pair", file, state);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto token_id = [&](const char* key) {
      const Json* token = part->find(key);
      if (token == nullptr || token->as_array(where).size() != 2)
        fail(ErrorKind::kFormat, "{}: {}: wanted [token, id]", where, key);
      return known_id(token->as_array(where)[1], state, where);
    };
    const int32_t cls = token_id("cls"), sep = token_id("sep");
    if (type == "BertProcessing") {
      use_bert_template(state, cls, sep);
    } else {
      use_roberta_template(state, cls, sep);
    }
  } else {
    fail(ErrorKind::kUnsupported,
         "{}: type \"{}\"; supported: TemplateProcessing, BertProcessing, RobertaProcessing", where, type);
  }
}

}  // namespace

void TokenizerBuilder::read_rules(const Json& root, const std::string& file, State& state) {
  (void)root.as_object(file);
  const Json* model = find_object(root, "model");
  if (model == nullptr) fail(ErrorKind::kFormat, "{}: model is missing", file);
  const Json* type = model->find("type");
  if (type != nullptr && type->as_string(file + ": model.type") != "WordPiece") {
    fail(ErrorKind::kUnsupported, "{}: model.type \"{}\"; supported: WordPiece", file, type->as_string(file));
  }
  if (!state.vocabulary.finished()) state.vocabulary.finish(file);
  const auto text = [&](const char* key, const char* fallback) {
    const Json* value = find_object(*model, key);
    return value == nullptr ? std::string(fallback)
                            : value->as_string(fmt::format("{}: model.{}", file, key));
  };
  state.unk_token = text("unk_token", "[UNK]");
  state.prefix = text("continuing_subword_prefix", "##");
  if (const Json* most = find_object(*model, "max_input_chars_per_word")) {
    state.max_chars = most->as_int(file + ": model.max_input_chars_per_word");
    if (state.max_chars < 1 || state.max_chars > 1 << 20) {
      fail(ErrorKind::kFormat, "{}: model.max_input_chars_per_word is {}; wanted 1 to {}", file,
           state.max_chars, 1 << 20);
    }
  }
  state.normalization = read_normalizer(find_object(root, "normalizer"), file);
  const Json* pre = find_object(root, "pre_tokenizer");
  if (pre == nullptr || type_of(*pre, file + ": pre_tokenizer") != "BertPreTokenizer") {
    fail(ErrorKind::kUnsupported, "{}: pre_tokenizer \"{}\"; supported: BertPreTokenizer", file,
         pre == nullptr ? "none" : type_of(*pre, file));
  }
  read_added_tokens(root, file, state);
  read_post_processor(find_object(root, "post_processor"), file, state);
  if (const Json* decoder = find_object(root, "decoder"))
    state.clean_up = flag(*decoder, "cleanup", true, file + ": decoder");
  state.json = root.dump();
}

std::unique_ptr<Tokenizer::State> TokenizerBuilder::from_stored(const StoredTokenizer& stored) {
  auto state = std::make_unique<State>();
  state->vocabulary = Vocabulary(stored.vocabulary, stored.owner);
  read_rules(Json::parse(stored.json, "stored tokenizer"), "stored tokenizer", *state);
  return state;
}

std::unique_ptr<Tokenizer::State> TokenizerBuilder::from_tokenizer_json(const std::filesystem::path& path) {
  const std::string file = path.string();
  auto state = std::make_unique<State>();
  TokenizerJsonReader reader(file, state->vocabulary);
  JsonLimits limits;
  limits.max_bytes = kMaxFileBytes;
  const auto mapped = MappedFile::open(path);
  parse_json_stream({reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()}, file,
                    limits, reader);
  mapped->check();
  read_rules(reader.root, file, *state);
  return state;
}

// As Hugging Face's BertTokenizerFast makes a tokenizer.json of it.
std::unique_ptr<Tokenizer::State> TokenizerBuilder::from_vocab(const std::filesystem::path& vocab, bool lower,
                                                               bool chinese, bool strip) {
  const std::string file = vocab.string();
  auto state = std::make_unique<State>();
  Vocabulary& vocabulary = state->vocabulary;
  const std::string text = read_text_file(vocab, kMaxFileBytes);
  int64_t id = 0;
  for (std::size_t at = 0; at < text.size(); ++id) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view token = std::string_view(text).substr(at, end - at);
    at = end + 1;
    while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.remove_suffix(1);
    if (token.size() > 4096)
      fail(ErrorKind::kFormat, "{}: line {} has {} bytes; at most 4096", file, id + 1, token.size());
    if (vocabulary.find(token) >= 0) {
      fail(ErrorKind::kFormat, "{}: line {} repeats the token \"{}\"", file, id + 1, token);
    }
    vocabulary.add(token, id);
  }
  vocabulary.finish(file);
  Json added = Json::array();
  for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    const int32_t found = vocabulary.find(name);
    if (found < 0) fail(ErrorKind::kFormat, "{}: the special token {} is missing", file, name);
    added.push_back(
        Json::object({{"id", found}, {"content", name}, {"normalized", false}, {"special", true}}));
  }
  const auto fixed = [&](const char* name) {
    Json pair = Json::array();
    pair.push_back(name);
    pair.push_back(vocabulary.find(name));
    return pair;
  };
  const Json root = Json::object(
      {{"added_tokens", std::move(added)},
       {"normalizer", Json::object({{"type", "BertNormalizer"},
                                    {"clean_text", true},
                                    {"handle_chinese_chars", chinese},
                                    {"strip_accents", strip},
                                    {"lowercase", lower}})},
       {"pre_tokenizer", Json::object({{"type", "BertPreTokenizer"}})},
       {"post_processor",
        Json::object({{"type", "BertProcessing"}, {"sep", fixed("[SEP]")}, {"cls", fixed("[CLS]")}})},
       {"model", Json::object({{"type", "WordPiece"}, {"unk_token", "[UNK]"}})}});
  read_rules(root, file, *state);
  return state;
}

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::filesystem::path& folder,
                                                 const std::optional<StoredTokenizer>& stored) {
  std::error_code error;
  Json config = Json::object();
  const auto config_path = folder / "tokenizer_config.json";
  if (std::filesystem::exists(config_path, error)) {
    config = Json::parse(read_text_file(config_path, 64u << 20), config_path.string());
  }
  const std::string where = config_path.string();
  std::unique_ptr<State> state;
  if (stored) {
    state = TokenizerBuilder::from_stored(*stored);
  } else if (std::filesystem::exists(folder / "tokenizer.json", error)) {
    state = TokenizerBuilder::from_tokenizer_json(folder / "tokenizer.json");
  } else if (std::filesystem::exists(folder / "vocab.txt", error)) {
    const bool lower = flag(config, "do_lower_case", true, where);
    state = TokenizerBuilder::from_vocab(folder / "vocab.txt", lower,
                                         flag(config, "tokenize_chinese_chars", true, where),
                                         flag(config, "strip_accents", lower, where));
  } else {
    fail(ErrorKind::kInput, "{}: no tokenizer.json and no vocab.txt", folder.string());
  }
  if (const Json* most = config.find("model_max_length"); most != nullptr && most->is_number()) {
    const double value = most->as_double(where);
    // Hugging Face writes 1e30 for "not said".
    if (value >= 1 && value < 1e9) state->model_max_length = static_cast<int64_t>(value);
  }
  state->model = WordPiece(state->vocabulary, state->unk_token, state->prefix, state->max_chars);
  state->ids.emplace(state->model, state->normalization, state->added);
  std::string mask = "[MASK]";
  if (const Json* token = config.find("mask_token")) {
    if (token->is_string()) mask = token->as_string(where);
    if (const Json* content = token->find("content"); content != nullptr) mask = content->as_string(where);
  }
  std::shared_ptr<Tokenizer> tokenizer(new Tokenizer(std::move(state)));
  tokenizer->state_->mask_id = tokenizer->find_token(mask);
  return tokenizer;
}

}  // namespace penjing
