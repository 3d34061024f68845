#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace penjing {

// A question about a text that holds its answer, or does not.
struct Question {
  struct Answer {
    std::string text;
    int64_t begin = 0;  // code point of the context where it begins
  };
  std::string id, question;
  std::size_t context = 0;      // of QuestionData::contexts
  std::vector<Answer> answers;  // none: it cannot be answered
};
struct QuestionData {
  std::filesystem::path file;
  std::vector<std::string> contexts;
  std::vector<Question> questions;
  std::size_t num_unanswerable = 0;
  std::string reading;
};

// The split's file in a folder: as find_split, and SPLIT-v1.1.json, SPLIT-v2.0.json as SQuAD names them.
SplitFile find_questions(const std::filesystem::path& path, const std::string& split);

// Reads SQuAD's JSON (1.1 and 2.0: "data", "paragraphs", "qas", "is_impossible"; Rajpurkar et al. 2016,
// 2018), or, of a .jsonl file, an object a line: "question", "context", "answers" as {"text": [...],
// "answer_start": [...]} (Hugging Face's form) or as a list of {"text", "answer_start"}; "id" may be absent.
// answer_start counts code points. kFormat, naming the question, when an answer is not where it says.
QuestionData read_questions(const SplitFile& file);
// The first `limit` questions of a split (0: all).
QuestionData read_questions(const std::filesystem::path& data, const std::string& split, std::size_t limit);

}  // namespace penjing
