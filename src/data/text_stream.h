#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/mixed_segmentation.h"
#include "text/ragged_batch.h"
#include "text/tokenizer.h"

namespace penjing {

// The text files that the paths name: files as they are, of folders all .txt and .jsonl files below them,
// also as .xz and .gz; sorted, each once. kInput when a path is not there or nothing is found.
std::vector<std::filesystem::path> find_text_files(std::span<const std::filesystem::path> paths);

// Where a document of a text file ends. A .jsonl file has a document a line, whatever is asked.
enum class DocumentEnd {
  kGuess,      // by blank lines where the first 256 KiB of the file hold one, else by lines
  kBlankLine,  // a paragraph a line, documents apart by blank lines
  kLine,       // a document a line
};

struct TextStreamOptions {
  std::vector<std::filesystem::path> files;
  int64_t max_length = 128;      // tokens of a sequence, [CLS] and [SEP] included
  int64_t shuffle_size = 16384;  // sequences that are held and shuffled together
  bool cross_documents = false;  // a sequence goes on into the next document
  DocumentEnd document_end = DocumentEnd::kGuess;
  // Of every hold_back documents of a file the last is left out of the stream: those that read_held_back()
  // gives. 0: none.
  int64_t hold_back = 0;
  std::size_t max_line_bytes = 16u << 20;
  uint64_t seed = 1;
  std::shared_ptr<const MixedSegmentation>
      mixed;  // spells words in turn, a round an epoch; null: the tokenizer alone
};

// An endless stream of token sequences from files that need not fit in memory. Each epoch takes the files in
// an order of its own and packs their documents (data/sequence_packer.h); shuffle_size sequences (and what
// their last line had beyond) are held and come in a random order. Files, blocks and orders are functions of
// the options alone. A thread reads and tokenizes the next block while this one is used, so that two blocks
// are in memory: 2 * shuffle_size * max_length * 4 bytes at most, and one line.
//
// Malformed UTF-8 becomes U+FFFD, which BERT's tokenizer drops; blank files are passed over. A line beyond
// max_line_bytes (kResource), a .jsonl line without text, damaged compressed data, a zero byte at the
// beginning of a file (kFormat), no text in any file (kInput) are Errors that next() throws, naming file and
// line.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, TextStreamOptions options);  // the tokenizer must outlive it
  ~TextStream();
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  struct Sample {
    int64_t number = 0;  // from 0 over all epochs: the same on every rank
    int64_t epoch = 0;
    std::vector<int32_t> ids;
  };
  Sample next();

  // Where next() goes on, for seek() in another process: files and options must be those (kInput naming what
  // differs), the folders may be others. Seeking reads and tokenizes one block; compressed files are
  // decompressed up to it.
  Json position() const;
  void seek(const Json& position);

  // Since the stream was made: bytes of text that were read, and seconds next() waited for the thread.
  struct Usage {
    int64_t text_bytes = 0;
    double waited_seconds = 0;
  };
  Usage usage() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The documents that a stream with these options leaves out, as sequences in the order of the files: at most
// `limit` sequences, as many from each file as from any other where they have them.
RaggedBatch read_held_back(const Tokenizer& tokenizer, const TextStreamOptions& options, int64_t limit);

// The sequences of the files in their order, `limit` at most: hold_back and shuffle_size are not looked at.
RaggedBatch read_sequences(const Tokenizer& tokenizer, const TextStreamOptions& options, int64_t limit);

}  // namespace penjing
