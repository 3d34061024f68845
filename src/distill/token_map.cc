#include "distill/token_map.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "distill/teacher_fit.h"

namespace penjing::distill {

namespace {

constexpr const char* kAdvice = "give the teacher's answers as a file (.npy, .jsonl)";

// Lower case, accents and so on, with what is not said written out.
std::string preparation_of(const Tokenizer& tokenizer) {
  const Json root = Json::parse(tokenizer.stored().json, "tokenizer");
  const Json* rules = root.find("normalizer");
  if (rules == nullptr || rules->is_null()) return "none";
  const auto flag = [&](const char* key, bool fallback) {
    const Json* value = rules->find(key);
    return value == nullptr || value->is_null() ? fallback : value->as_bool(key);
  };
  const bool lowercase = flag("lowercase", true);
  return fmt::format("lowercase {}, strip_accents {}, clean_text {}, handle_chinese_chars {}", lowercase,
                     flag("strip_accents", lowercase), flag("clean_text", true),
                     flag("handle_chinese_chars", true));
}

// What the template puts around an empty text, or two.
std::vector<int32_t> around(const Tokenizer& tokenizer, bool pair) {
  return pair ? tokenizer.encode_pair("", "").ids : tokenizer.encode("").ids;
}

}  // namespace

TokenMap map_tokens(const Tokenizer& student, const Tokenizer& teacher) {
  TokenMap map;
  if (have_same_tokens(student, teacher)) return map;
  if (const std::string own = preparation_of(student), wanted = preparation_of(teacher); own != wanted) {
    fail(ErrorKind::kUnsupported,
         "the student's tokenizer prepares texts otherwise ({}) than the teacher's ({}); {}", own, wanted,
         kAdvice);
  }
  const int64_t count = student.vocab_size();
  map.ids.assign(static_cast<std::size_t>(count), -1);
  const auto set = [&](int32_t from, int32_t to) {
    if (from >= 0 && to >= 0) map.ids[static_cast<std::size_t>(from)] = to;
  };
  for (int32_t id = 0; id < count; ++id) set(id, teacher.find_token(student.token(id)));
  const std::vector<int32_t> own = around(student, false), wanted = around(teacher, false);
  if (own.size() != wanted.size()) {
    fail(ErrorKind::kUnsupported,
         "the student's tokenizer puts {} tokens around a text, the teacher's {}; {}", own.size(),
         wanted.size(), kAdvice);
  }
  for (std::size_t i = 0; i < own.size(); ++i) set(own[i], wanted[i]);
  set(student.mask_id(), teacher.mask_id());
  set(student.unk_id(), teacher.unk_id());
  for (int32_t id = 0; id < count; ++id) {
    if (map.ids[static_cast<std::size_t>(id)] >= 0) continue;
    // No text becomes one of these.
    if (student.is_special(id)) {
      map.ids[static_cast<std::size_t>(id)] = std::max(teacher.unk_id(), 0);
      continue;
    }
    fail(ErrorKind::kUnsupported,
         "the student's token \"{}\" is none of the teacher's: they have different tokenizers; {}",
         student.token(id), kAdvice);
  }
  map.pairs = around(student, true).size() == around(teacher, true).size();
  return map;
}

}  // namespace penjing::distill
