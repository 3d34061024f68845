#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/ragged_batch.h"
#include "text/tokenizer.h"

namespace penjing {

// Packs the text of documents into sequences of at most max_length tokens, [CLS] text [SEP]: as many whole
// sentences as fit (RoBERTa's FULL-SENTENCES and, by default, DOC-SENTENCES; Liu et al. 2019, section 4.2). A
// sentence ends behind a token such as "." and closing quotes or brackets after it, and with its paragraph.
// One that is longer than a sequence is cut between words, or within a word that is longer than a sequence.
class SequencePacker {
 public:
  // What the packer must know of the tokenizer: made once.
  struct Tokens {
    std::vector<uint8_t> kinds;           // [vocabulary], bits below
    std::vector<int32_t> prefix, suffix;  // [CLS]; [SEP]
    static constexpr uint8_t kContinues = 1, kEnds = 2, kCloses = 4;
    explicit Tokens(const Tokenizer& tokenizer);
  };

  // cross_documents: a sequence goes on into the next document, with another [SEP] between. Throws kInput
  // when max_length leaves no room for text.
  SequencePacker(const Tokens& tokens, int64_t max_length, bool cross_documents);

  void add_paragraph(std::span<const int32_t> ids, RaggedBatch& out);
  void end_document(RaggedBatch& out);
  void flush(RaggedBatch& out);  // what is left, as a shorter sequence

 private:
  void emit(std::span<const int32_t> text, RaggedBatch& out);
  const Tokens& tokens_;
  std::size_t room_;
  bool cross_documents_;
  std::vector<int32_t> pending_, sequence_;
};

}  // namespace penjing
