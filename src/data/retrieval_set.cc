#include "data/retrieval_set.h"

#include <charconv>

#include "base/error.h"
#include "base/json.h"
#include "data/text_lines.h"

namespace penjing {

namespace {

using Ids = std::unordered_map<std::string, std::size_t>;

std::string id_of(const Json& object, const std::string& where) {
  for (const char* name : {"_id", "id"}) {
    const Json* id = object.find(name);
    if (id == nullptr) continue;
    return id->is_string() ? id->as_string(where) : std::to_string(id->as_int(where + ": " + name));
  }
  fail(ErrorKind::kFormat, "{}: no \"_id\"", where);
}

std::string text_of(const Json& object, const std::string& where) {
  const Json* text = object.find("text");
  if (text == nullptr) fail(ErrorKind::kFormat, "{}: no \"text\"", where);
  const Json* title = object.find("title");
  const std::string head =
      title == nullptr || title->is_null() ? "" : title->as_string(where + ": title") + " ";
  return (head == " " ? "" : head) + text->as_string(where + ": text");
}

template <typename Visit>
void read_objects(const std::filesystem::path& path, Ids& ids, const Visit& visit) {
  TextLines lines(path, TextLines::Content::kRaw);
  std::string row;
  for (std::size_t line = 1; lines.next(row); ++line) {
    if (row.find_first_not_of(" \t") == std::string::npos) continue;
    const std::string where = fmt::format("{}: line {}", path.string(), line);
    const Json object = Json::parse(row, where);
    const std::string id = id_of(object, where);
    if (!ids.emplace(id, ids.size()).second) fail(ErrorKind::kFormat, "{}: id \"{}\" again", where, id);
    visit(id, text_of(object, where));
  }
}

std::vector<std::string> split_at_blanks(const std::string& text) {
  std::vector<std::string> cells;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    if (end > at) cells.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return cells;
}

bool read_number(const std::string& text, double& value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stopped == end;
}

}  // namespace

RetrievalSet read_retrieval_set(const std::filesystem::path& folder, const std::string& split) {
  RetrievalSet set;
  Ids documents, queries;
  read_objects(folder / "corpus.jsonl", documents, [&](const std::string& id, std::string text) {
    set.document_ids.push_back(id);
    set.documents.push_back(std::move(text));
  });
  read_objects(folder / "queries.jsonl", queries, [&](const std::string& id, std::string text) {
    set.queries.push_back({id, std::move(text), {}});
  });
  const auto judgements = folder / "qrels" / (split + ".tsv");
  TextLines lines(judgements, TextLines::Content::kRaw);
  std::string row;
  for (std::size_t line = 1; lines.next(row); ++line) {
    const auto cells = split_at_blanks(row);
    if (cells.empty()) continue;
    const std::string where = fmt::format("{}: line {}", judgements.string(), line);
    if (cells.size() != 3 && cells.size() != 4)
      fail(ErrorKind::kFormat, "{}: wanted query, document and relevance, found {} cells", where,
           cells.size());
    double relevance = 0;
    if (!read_number(cells.back(), relevance)) {
      if (line == 1) continue;  // the header
      fail(ErrorKind::kFormat, "{}: relevance \"{}\" is not a number", where, cells.back());
    }
    const auto query = queries.find(cells[0]);
    const auto document = documents.find(cells[cells.size() - 2]);
    if (query == queries.end()) fail(ErrorKind::kFormat, "{}: no query \"{}\"", where, cells[0]);
    if (document == documents.end())
      fail(ErrorKind::kFormat, "{}: no document \"{}\"", where, cells[cells.size() - 2]);
    if (relevance > 0) set.queries[query->second].relevant[document->second] = relevance;
  }
  std::erase_if(set.queries, [](const RetrievalSet::Query& query) { return query.relevant.empty(); });
  if (set.queries.empty())
    fail(ErrorKind::kInput, "{}: no query with a relevant document", judgements.string());
  set.reading =
      fmt::format("{} documents, {} queries with relevant ones", set.documents.size(), set.queries.size());
  return set;
}

}  // namespace penjing
