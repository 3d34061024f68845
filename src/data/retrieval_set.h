#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace penjing {

// Documents, queries and which documents answer which query, in the layout of BEIR (Thakur et al. 2021).
struct RetrievalSet {
  std::vector<std::string> documents, document_ids;  // title and text with a blank between
  struct Query {
    std::string id, text;
    std::unordered_map<std::size_t, double> relevant;  // document -> relevance above 0
  };
  std::vector<Query> queries;  // those that have a relevant document, in their file's order
  std::string reading;
};

// Reads FOLDER/corpus.jsonl ({"_id", "title"?, "text"}), queries.jsonl ({"_id", "text"}) and qrels/SPLIT.tsv
// (query, document, relevance with a header; or the four columns of trec_eval). kFormat, naming file and
// line, for a duplicate id or a judgement of an id that is not there.
RetrievalSet read_retrieval_set(const std::filesystem::path& folder, const std::string& split);

}  // namespace penjing
