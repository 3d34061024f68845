// trim_vocabulary: keeps only the pieces that a corpus uses; the rows of the others leave the embedding table
// and the masked-LM head, their names leave the tokenizer's files. A third of BERT-base, half of MiniLM is
// that table, of which a task's texts use a part.
//
// Exact: a text all of whose pieces are kept gets the same pieces, numbered anew, and so the same outputs bit
// for bit. WordPiece takes the longest piece that fits at each place; among fewer pieces the longest is no
// longer, and the one that was longest is still there. Words that have no pieces ([UNK]) must go on having
// none: of them the pieces up to where nothing fitted are kept too, so that the search comes to the same
// place and fails there. All of this is checked on every text of the corpus before anything is written.
//
// Kept besides: added and special tokens, and single characters, at the start of a word and within, so that
// other texts are spelled rather than unknown. Needs nothing but the texts. Not trimmed: token types,
// positions. The idea: Abdaoui et al. 2020, "Load What You Need" (languages of a multilingual model).
#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "compress/params.h"
#include "compress/vocabulary_cut.h"
#include "data/text_lines.h"
#include "text/unicode.h"

namespace penjing {

namespace {

struct Params {
  std::vector<std::string> texts;
  int64_t min_count = 1;
  bool characters = true;

  template <class Visitor>
  void visit(Visitor& v) {
    v.paths("texts", texts,
            "files of texts whose pieces stay: a text a line, or .jsonl; .gz and .xz too; repeatable");
    v.integer("min_count", min_count, 1, INT64_C(1) << 40, "a piece stays when the texts use it this often");
    v.flag("characters", characters, "single characters stay, so that other words can be spelled");
  }
};

template <typename Visit>
void visit_texts(const Params& params, const char* what, Visit visit) {
  int64_t total = 0;
  for (const std::string& file : params.texts) {
    const int64_t lines = count_text_lines(file);
    total = total == Progress::kUnknown || lines < 0 ? Progress::kUnknown : total + lines;
  }
  Progress progress(what, total, "texts");
  for (const std::string& file : params.texts) {
    TextLines lines(file);
    int64_t number = 0;
    for (std::string text; lines.next(text); progress.advance()) {
      if (++number % 1024 == 0) check_interrupt();
      visit(text, file, number);
    }
  }
}

EncodeOptions ids_only() {
  EncodeOptions how;
  how.ids_only = true;
  return how;
}

// Pieces of an unknown word up to where nothing fitted: those of its longest beginning that is not unknown.
void count_beginning(const Tokenizer& tokenizer, std::string_view word, std::vector<int64_t>& counts) {
  EncodeOptions how = ids_only();
  how.add_special_tokens = false;
  const std::vector<int64_t> bytes = byte_offsets(word);
  for (std::size_t size = bytes.size() - 1; size-- > 1;) {
    const auto beginning = word.substr(0, static_cast<std::size_t>(bytes[size]));
    const std::vector<int32_t> ids = tokenizer.encode(beginning, how).ids;
    if (std::find(ids.begin(), ids.end(), tokenizer.unk_id()) != ids.end()) continue;
    for (const int32_t id : ids) ++counts[static_cast<std::size_t>(id)];
    return;
  }
}

void count_unknown_words(const Tokenizer& tokenizer, const std::string& text, std::vector<int64_t>& counts) {
  const Encoding encoding = tokenizer.encode(text);
  const std::vector<int64_t> bytes = byte_offsets(text);
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    if (encoding.ids[i] != tokenizer.unk_id() || encoding.special_mask[i] != 0) continue;
    const auto [begin, end] = encoding.offsets[i];
    const auto first = static_cast<std::size_t>(bytes[static_cast<std::size_t>(begin)]);
    const auto last = static_cast<std::size_t>(bytes[static_cast<std::size_t>(end)]);
    count_beginning(tokenizer, std::string_view(text).substr(first, last - first), counts);
  }
}

bool is_character(const Tokenizer& tokenizer, std::string_view token) {
  const std::string& prefix = tokenizer.continuing_prefix();
  if (token.starts_with(prefix) && token.size() > prefix.size()) token.remove_prefix(prefix.size());
  return decode_utf8(token).size() == 1;
}

// Throws where a text of kept pieces would read otherwise.
void verify_texts(const Params& params, const Tokenizer& before, const Tokenizer& after,
                  const VocabularyCut& cut) {
  visit_texts(
      params, "trim-vocabulary: check", [&](const std::string& text, const std::string& file, int64_t line) {
        std::vector<int32_t> wanted = before.encode(text, ids_only()).ids;
        for (int32_t& id : wanted) {
          id = cut.new_ids[static_cast<std::size_t>(id)];
          if (id < 0) return;  // min_count let it go
        }
        if (after.encode(text, ids_only()).ids != wanted)
          fail(ErrorKind::kInternal, "{}: line {} has other pieces in the smaller vocabulary", file, line);
      });
}

Model apply(const Model& input, const Json& resolved, MethodContext& context, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  if (params.texts.empty()) fail(ErrorKind::kInput, "trim_vocabulary: texts: no file was given");
  if (input.folder.empty())
    fail(ErrorKind::kInput, "trim_vocabulary: the model has no folder, so no tokenizer");
  check_model(input, false);
  const auto tokenizer = Tokenizer::load(input.folder);
  const auto size = static_cast<std::size_t>(tokenizer->vocab_size());
  if (input.description.embedding.vocab_size < tokenizer->vocab_size())
    fail(ErrorKind::kFormat, "the tokenizer has {} tokens, the embedding table {}", size,
         input.description.embedding.vocab_size);

  std::vector<int64_t> counts(size, 0);
  int64_t texts = 0, tokens = 0;
  visit_texts(params, "trim-vocabulary", [&](const std::string& text, const std::string&, int64_t) {
    const std::vector<int32_t> ids = tokenizer->encode(text, ids_only()).ids;
    bool unknown = false;
    for (const int32_t id : ids) {
      ++counts[static_cast<std::size_t>(id)];
      unknown |= id == tokenizer->unk_id();
    }
    if (unknown) count_unknown_words(*tokenizer, text, counts);
    ++texts;
    tokens += static_cast<int64_t>(ids.size());
  });
  if (texts == 0) fail(ErrorKind::kInput, "trim_vocabulary: no text in the files");
  std::vector<bool> keeps(size, false);
  int64_t used = 0;
  for (std::size_t id = 0; id < size; ++id) {
    if (counts[id] >= params.min_count) keeps[id] = true, ++used;
    if (params.characters && is_character(*tokenizer, tokenizer->token(static_cast<int32_t>(id))))
      keeps[id] = true;
  }
  keep_required(input, *tokenizer, keeps);
  const VocabularyCut cut = make_cut(keeps);
  verify_texts(params, *tokenizer, *cut_tokenizer(input.folder, *tokenizer, cut), cut);
  Model model = input;
  cut_vocabulary(model, *tokenizer, cut);

  const int64_t before = input.description.embedding.vocab_size,
                after = static_cast<int64_t>(cut.kept.size());
  report.details.set("texts", texts);
  report.details.set("tokens", tokens);
  report.details.set("vocabulary_before", before);
  report.details.set("vocabulary_after", after);
  report.details.set("used", used);
  report.notes.push_back(
      fmt::format("{} of {} pieces stay: {} that {} texts use, and single characters and special tokens",
                  format_count(after), format_count(before), format_count(used), format_count(texts)));
  if (context.note) context.note("texts whose pieces all stay give the same outputs as before, bit for bit");
  check_model(model, false);
  return model;
}

}  // namespace

extern const Method trim_vocabulary_method;
const Method trim_vocabulary_method = {
    "trim_vocabulary",
    "trim-vocabulary",
    "only the pieces that your texts use: a smaller embedding table, the same outputs",
    "Keeps the pieces of the tokenizer's vocabulary that a corpus uses, with special tokens and single "
    "characters, and takes the others out of the embedding table, the masked-LM head and the tokenizer's "
    "files. Texts whose pieces all stay give the same outputs bit for bit; other words are spelled in "
    "smaller pieces.\n\n"
    "Examples:\n  penjing trim-vocabulary minilm --texts my-texts.txt --out minilm-trimmed\n"
    "  penjing trim-vocabulary bert-base --texts train.txt --texts unlabelled.jsonl --min-count 3 --out "
    "bert-trimmed",
    Needs::kNothing,
    list_params<Params>,
    apply};

}  // namespace penjing
