#include "data/tagged.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/json.h"
#include "data/text_lines.h"

namespace penjing {

namespace {

constexpr std::string_view kWordsSuffix = ".seq.in";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::vector<std::string> split_cells(std::string_view line) {
  const char* separators = line.find('\t') != std::string_view::npos ? "\t" : " ";
  std::vector<std::string> cells;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find_first_of(separators, at), line.size());
    if (end > at) cells.emplace_back(line.substr(at, end - at));
    at = end + 1;
  }
  return cells;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

// "en:" when the text begins so, else "".
std::string language_code(const std::string& word) {
  const std::size_t colon = word.find(':');
  if (colon < 2 || colon > 3 || word.size() == colon + 1) return "";
  const bool letters = std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(colon),
                                   [](unsigned char c) { return c >= 'a' && c <= 'z'; });
  return letters ? word.substr(0, colon + 1) : "";
}

void drop_language_code(std::vector<TaggedSentence>& sentences) {
  if (sentences.empty()) return;
  const std::string code = language_code(sentences.front().words.front());
  if (code.empty()) return;
  for (const TaggedSentence& sentence : sentences) {
    for (const std::string& word : sentence.words) {
      if (!word.starts_with(code)) return;
    }
  }
  for (TaggedSentence& sentence : sentences) {
    for (std::string& word : sentence.words) word.erase(0, code.size());
  }
}

std::vector<TaggedSentence> read_conll(const std::filesystem::path& path) {
  TextLines lines(path, TextLines::Content::kRaw);
  std::vector<TaggedSentence> sentences;
  TaggedSentence sentence;
  std::string text;
  const auto end_sentence = [&] {
    if (!sentence.words.empty()) sentences.push_back(std::move(sentence));
    sentence = {};
  };
  for (std::size_t line = 1; lines.next(text); ++line) {
    std::string_view row = text;
    if (row.starts_with(kByteOrderMark)) row.remove_prefix(kByteOrderMark.size());
    if (is_blank(row)) {
      end_sentence();
      continue;
    }
    if (row.starts_with("-DOCSTART-")) continue;
    const auto cells = split_cells(row);
    if (cells.size() < 2)
      fail(ErrorKind::kFormat, "{}: line {}: a word without a tag: \"{}\"", path.string(), line,
           std::string(row.substr(0, 60)));
    if (sentence.words.empty()) sentence.line = line;
    sentence.words.push_back(cells.front());
    sentence.tags.push_back(cells.back());
  }
  end_sentence();
  drop_language_code(sentences);
  return sentences;
}

std::vector<std::string> string_list(const Json& object, std::initializer_list<const char*> names,
                                     const std::string& where) {
  for (const char* name : names) {
    const Json* list = object.find(name);
    if (list == nullptr) continue;
    std::vector<std::string> values;
    for (const Json& item : list->as_array(where + ": " + name))
      values.push_back(item.as_string(where + ": " + name));
    return values;
  }
  fail(ErrorKind::kFormat, "{}: no \"{}\"", where, *names.begin());
}

std::vector<TaggedSentence> read_json_sentences(const std::filesystem::path& path) {
  TextLines lines(path, TextLines::Content::kRaw);
  std::vector<TaggedSentence> sentences;
  std::string text;
  for (std::size_t line = 1; lines.next(text); ++line) {
    if (is_blank(text)) continue;
    const std::string where = fmt::format("{}: line {}", path.string(), line);
    const Json object = Json::parse(text, where);
    sentences.push_back({string_list(object, {"tokens", "words"}, where),
                         string_list(object, {"tags", "ner_tags", "labels"}, where), line});
  }
  return sentences;
}

std::vector<TaggedSentence> read_parallel_words(const std::filesystem::path& path) {
  std::string name = path.string();
  name.replace(name.size() - kWordsSuffix.size(), kWordsSuffix.size(), ".seq.out");
  const auto words = read_text_lines(path), tags = read_text_lines(name);
  if (words.size() != tags.size())
    fail(ErrorKind::kFormat, "{}: {} lines, {} has {}", name, tags.size(), path.string(), words.size());
  std::vector<TaggedSentence> sentences;
  for (std::size_t i = 0; i < words.size(); ++i)
    sentences.push_back({split_cells(words[i]), split_cells(tags[i]), i + 1});
  return sentences;
}

}  // namespace

TaggedData read_tagged(const SplitFile& file) {
  TaggedData data;
  data.file = file.path;
  const std::string extension = file.path.extension().string();
  if (extension == ".jsonl" || extension == ".ndjson") {
    data.sentences = read_json_sentences(file.path);
    data.reading = "JSON lines of tokens and tags";
  } else if (file.path.string().ends_with(kWordsSuffix)) {
    data.sentences = read_parallel_words(file.path);
    data.reading = "words, and tags in .seq.out";
  } else {
    data.sentences = read_conll(file.path);
    data.reading = "CoNLL: word first, tag last";
  }
  std::erase_if(data.sentences, [](const TaggedSentence& sentence) {
    return sentence.words.empty() && sentence.tags.empty();
  });
  for (const TaggedSentence& sentence : data.sentences) {
    if (sentence.words.size() != sentence.tags.size())
      fail(ErrorKind::kFormat, "{}: line {}: {} words but {} tags", file.path.string(), sentence.line,
           sentence.words.size(), sentence.tags.size());
  }
  if (data.sentences.empty()) fail(ErrorKind::kInput, "{}: no sentence", file.path.string());
  return data;
}

}  // namespace penjing
