#include "data/questions.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "data/text_lines.h"
#include "text/unicode.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 30;

const Json& member(const Json& object, const char* name, const std::string& where) {
  const Json* value = object.find(name);
  if (value == nullptr) fail(ErrorKind::kFormat, "{}: no \"{}\"", where, name);
  return *value;
}

std::string text_member(const Json& object, const char* name, const std::string& where) {
  return member(object, name, where).as_string(where + ": " + name);
}

// Collects questions, each context once.
class Reader {
 public:
  explicit Reader(QuestionData& data) : data_(data) {}

  void enter_context(const std::string& text) {
    const auto [found, added] = numbers_.emplace(text, data_.contexts.size());
    if (added) data_.contexts.push_back(text);
    context_ = found->second;
    bytes_ = byte_offsets(text);
  }

  void add(std::string id, std::string question, std::vector<Question::Answer> answers,
           const std::string& where) {
    const std::string& context = data_.contexts[context_];
    for (const Question::Answer& answer : answers) {
      const bool inside = answer.begin >= 0 && answer.begin < static_cast<int64_t>(bytes_.size());
      const auto begin =
          inside ? static_cast<std::size_t>(bytes_[static_cast<std::size_t>(answer.begin)]) : 0;
      if (!inside || answer.text.empty() || context.compare(begin, answer.text.size(), answer.text) != 0) {
        fail(ErrorKind::kFormat, "{}: the answer \"{}\" does not begin at code point {} of its context",
             where, answer.text, answer.begin);
      }
    }
    data_.num_unanswerable += answers.empty() ? 1 : 0;
    data_.questions.push_back({std::move(id), std::move(question), context_, std::move(answers)});
  }

 private:
  QuestionData& data_;
  std::unordered_map<std::string, std::size_t> numbers_;
  std::size_t context_ = 0;
  std::vector<int64_t> bytes_;
};

std::vector<Question::Answer> answers_of(const Json& answers, const std::string& where) {
  std::vector<Question::Answer> list;
  if (answers.is_object()) {
    const auto& texts = member(answers, "text", where).as_array(where + ": text");
    const auto& begins = member(answers, "answer_start", where).as_array(where + ": answer_start");
    if (texts.size() != begins.size())
      fail(ErrorKind::kFormat, "{}: {} texts and {} answer_start", where, texts.size(), begins.size());
    for (std::size_t i = 0; i < texts.size(); ++i)
      list.push_back({texts[i].as_string(where), begins[i].as_int(where)});
    return list;
  }
  for (const Json& answer : answers.as_array(where))
    list.push_back({text_member(answer, "text", where), member(answer, "answer_start", where).as_int(where)});
  return list;
}

void read_squad(const std::filesystem::path& path, Reader& reader) {
  const Json file = Json::parse(read_text_file(path, kMaxFileBytes), path.string(), {kMaxFileBytes});
  const std::string name = path.string();
  for (const Json& article : member(file, "data", name).as_array(name + ": data")) {
    for (const Json& paragraph : member(article, "paragraphs", name).as_array(name + ": paragraphs")) {
      reader.enter_context(text_member(paragraph, "context", name));
      for (const Json& qa : member(paragraph, "qas", name).as_array(name + ": qas")) {
        const std::string id = text_member(qa, "id", name);
        const std::string where = fmt::format("{}: question {}", name, id);
        const Json* impossible = qa.find("is_impossible");
        const bool none = impossible != nullptr && impossible->as_bool(where + ": is_impossible");
        const auto answers =
            none ? std::vector<Question::Answer>() : answers_of(member(qa, "answers", where), where);
        reader.add(id, text_member(qa, "question", where), answers, where);
      }
    }
  }
}

void read_lines(const std::filesystem::path& path, Reader& reader) {
  TextLines lines(path, TextLines::Content::kRaw);
  std::string text;
  for (std::size_t line = 1; lines.next(text); ++line) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = fmt::format("{}: line {}", path.string(), line);
    const Json row = Json::parse(text, where);
    reader.enter_context(text_member(row, "context", where));
    const Json* id = row.find("id");
    reader.add(id == nullptr     ? std::to_string(line)
               : id->is_string() ? id->as_string(where)
                                 : id->dump(),
               text_member(row, "question", where), answers_of(member(row, "answers", where), where), where);
  }
}

}  // namespace

SplitFile find_questions(const std::filesystem::path& path, const std::string& split) {
  for (const char* version : {"-v1.1.json", "-v2.0.json"}) {
    const auto file = path / (split + version);
    std::error_code error;
    if (std::filesystem::exists(file, error)) return {file, ""};
  }
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return {path, ""};
  return find_split(path, split);
}

QuestionData read_questions(const SplitFile& file) {
  QuestionData data;
  data.file = file.path;
  Reader reader(data);
  const std::string extension = file.path.extension().string();
  const bool lines = extension == ".jsonl" || extension == ".ndjson";
  if (lines) {
    read_lines(file.path, reader);
  } else {
    read_squad(file.path, reader);
  }
  if (data.questions.empty()) fail(ErrorKind::kInput, "{}: no question", file.path.string());
  data.reading = lines ? "JSON lines of question, context, answers" : "SQuAD";
  return data;
}

QuestionData read_questions(const std::filesystem::path& path, const std::string& split, std::size_t limit) {
  QuestionData data = read_questions(find_questions(path, split));
  if (limit > 0 && data.questions.size() > limit) {
    data.questions.resize(limit);
    data.num_unanswerable = static_cast<std::size_t>(std::count_if(
        data.questions.begin(), data.questions.end(), [](const Question& q) { return q.answers.empty(); }));
  }
  return data;
}

}  // namespace penjing
