#include "distill/teacher_fit.h"

#include "base/error.h"
#include "base/hash.h"

namespace penjing::distill {

int64_t logits_of(const Model& model) {
  for (const HeadSpec& head : model.description.heads) {
    if (head.has_projection && head.kind != HeadKind::kMaskedLm) return head.projection.out;
  }
  return 0;
}

std::string digest_of_weights(const Model& model, std::string_view more) {
  std::string all;
  for (const auto& [name, tensor] : model.tensors) all += name + " " + sha256_hex(tensor.bytes) + "\n";
  all += more;
  return sha256_hex(std::as_bytes(std::span(all)));
}

bool have_same_tokens(const Tokenizer& student, const Tokenizer& teacher) {
  const int64_t count = student.vocab_size();
  bool same = count == teacher.vocab_size();
  for (int64_t id = 0; same && id < count; ++id) {
    same = student.token(static_cast<int32_t>(id)) == teacher.token(static_cast<int32_t>(id));
  }
  return same;
}

void require_same_tokens(const Tokenizer& student, const Tokenizer& teacher) {
  if (!have_same_tokens(student, teacher)) {
    fail(
        ErrorKind::kUnsupported,
        "teacher and student have different tokenizers; give the teacher's answers as a file (.npy, .jsonl)");
  }
}

void require_same_classes(const Model& student, const Model& teacher) {
  if (logits_of(student) != logits_of(teacher)) {
    fail(ErrorKind::kInput, "the teacher has {} outputs, the student {}: was it trained for this task?",
         logits_of(teacher), logits_of(student));
  }
  if (student.id2label.size() == teacher.id2label.size() && student.id2label != teacher.id2label) {
    fail(ErrorKind::kInput,
         "the teacher's classes are in another order, or named otherwise, than the student's");
  }
}

}  // namespace penjing::distill
