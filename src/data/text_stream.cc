#include "data/text_stream.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "data/sequence_packer.h"
#include "data/text_lines.h"

namespace penjing {

namespace {

// Streams of random numbers that one seed gives: what they are for, and which of them.
uint64_t stream_of(uint64_t purpose, int64_t epoch, int64_t block) {
  return purpose << 56 | (static_cast<uint64_t>(epoch) & 0xFFFFFF) << 32 |
         (static_cast<uint64_t>(block) & 0xFFFFFFFF);
}
constexpr uint64_t kFileOrder = 1, kBlockOrder = 2;

std::vector<int64_t> shuffled(int64_t count, uint64_t seed, uint64_t stream) {
  std::vector<int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  Rng rng(seed, stream);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos;
}

bool is_text_name(const std::filesystem::path& path) {
  const std::string kind = content_name(path).extension().string();
  return kind == ".txt" || kind == ".jsonl";
}

// Whether documents of a file end at blank lines; refuses what is no text.
bool blank_lines_end_documents(const std::filesystem::path& path, DocumentEnd asked) {
  constexpr std::size_t kLook = 256u << 10, kLookForZero = 4096;
  const auto source = open_bytes(path);
  std::string head(kLook, '\0');
  std::size_t size = 0;
  while (size < kLook) {
    const std::size_t got = source->read(std::span(head).subspan(size));
    if (got == 0) break;
    size += got;
  }
  head.resize(size);
  if (head.substr(0, kLookForZero).find('\0') != std::string::npos)
    fail(ErrorKind::kFormat, "{}: holds a zero byte; wanted text", path.string());
  if (content_name(path).extension() == ".jsonl") return false;
  if (asked != DocumentEnd::kGuess) return asked == DocumentEnd::kBlankLine;
  bool text = false, blank = false;
  for (std::size_t at = 0; at < head.size();) {
    const std::size_t end = std::min(head.find('\n', at), head.size());
    const bool is_empty = is_blank(std::string_view(head).substr(at, end - at));
    if (!is_empty && text && blank) return true;
    text = text || !is_empty;
    blank = is_empty && text;
    at = end + 1;
  }
  return false;
}

// A place in the stream, between two lines.
struct Cursor {
  int64_t epoch = 0, block = 0, sample = 0;
  std::size_t file = 0;  // in the epoch's order
  TextLines::Position at;
  int64_t document = 0;      // of the file
  bool in_document = false;  // some of it was read
};

enum class Part { kAll, kTraining, kHeldBack };

// Reads, tokenizes and packs from a cursor on.
class Reader {
 public:
  Reader(const Tokenizer& tokenizer, const TextStreamOptions& options, bool shuffle_files, Part part)
      : tokenizer_(tokenizer),
        options_(options),
        tokens_(tokenizer),
        packer_(tokens_, options.max_length, options.cross_documents),
        shuffle_files_(shuffle_files),
        part_(part) {
    encode_.add_special_tokens = false;
    encode_.truncation = Truncation::kNone;
    encode_.ids_only = true;
  }

  void seek(const Cursor& cursor) {
    cursor_ = cursor;
    lines_.reset();
    order_epoch_ = -1;
  }
  const Cursor& cursor() const { return cursor_; }
  int64_t text_bytes() const { return text_bytes_; }

  // At least `wanted` sequences, fewer at the end of the epoch or of the file (where `one_file`). Ends
  // between two lines.
  void read(int64_t wanted, bool one_file, RaggedBatch& out) {
    out.clear();
    std::string line;
    while (out.num_sequences() < wanted) {
      if (cursor_.file == options_.files.size()) break;
      open();
      if (!lines_->next(line)) {
        packer_.end_document(out);
        lines_.reset();
        ++cursor_.file;
        cursor_.at = {};
        cursor_.document = 0;
        cursor_.in_document = false;
        if (one_file) break;
        continue;
      }
      text_bytes_ += static_cast<int64_t>(line.size());
      take(line, out);
      cursor_.at = lines_->position();
    }
    packer_.flush(out);
    cursor_.sample += out.num_sequences();
  }

  void next_epoch() {
    if (cursor_.sample == 0) {
      fail(ErrorKind::kInput, "no text in {} ({} files)", options_.files.front().string(),
           options_.files.size());
    }
    ++cursor_.epoch;
    cursor_.block = 0;
    cursor_.file = 0;
  }
  bool at_end_of_epoch() const { return cursor_.file == options_.files.size(); }
  void count_block() { ++cursor_.block; }

 private:
  void open() {
    if (lines_) return;
    if (order_epoch_ != cursor_.epoch) {
      const auto files = static_cast<int64_t>(options_.files.size());
      order_ = shuffled(files, options_.seed, stream_of(kFileOrder, cursor_.epoch, 0));
      if (!shuffle_files_) std::iota(order_.begin(), order_.end(), int64_t{0});
      order_epoch_ = cursor_.epoch;
    }
    const auto& path = options_.files[static_cast<std::size_t>(order_[cursor_.file])];
    blank_lines_ = blank_lines_end_documents(path, options_.document_end);
    lines_.emplace(path, TextLines::Content::kByName, options_.max_line_bytes);
    if (cursor_.at.byte > 0) lines_->skip_to(cursor_.at);
  }

  void take(const std::string& line, RaggedBatch& out) {
    const bool blank = is_blank(line);
    if (!blank) {
      cursor_.in_document = true;
      if (wanted_document()) packer_.add_paragraph(ids_of(line), out);
    }
    if (cursor_.in_document && blank == blank_lines_) {
      if (wanted_document()) packer_.end_document(out);
      ++cursor_.document;
      cursor_.in_document = false;
    }
  }

  std::vector<int32_t> ids_of(const std::string& line) const {
    if (options_.mixed) return options_.mixed->encode(line, static_cast<uint64_t>(cursor_.epoch));
    return tokenizer_.encode(line, encode_).ids;
  }

  bool wanted_document() const {
    if (part_ == Part::kAll || options_.hold_back <= 0) return part_ != Part::kHeldBack;
    const bool held = cursor_.document % options_.hold_back == options_.hold_back - 1;
    return held == (part_ == Part::kHeldBack);
  }

  const Tokenizer& tokenizer_;
  const TextStreamOptions& options_;
  SequencePacker::Tokens tokens_;
  SequencePacker packer_;
  bool shuffle_files_;
  Part part_;
  EncodeOptions encode_;
  Cursor cursor_;
  std::optional<TextLines> lines_;
  bool blank_lines_ = false;
  int64_t order_epoch_ = -1, text_bytes_ = 0;
  std::vector<int64_t> order_;
};

// Sequences that are shuffled together.
struct Block {
  Cursor start;
  RaggedBatch sequences;
  std::vector<int64_t> order;
  int64_t text_bytes = 0;
};

Block read_block(Reader& reader, const TextStreamOptions& options) {
  Block block;
  do {
    if (reader.at_end_of_epoch()) reader.next_epoch();
    block.start = reader.cursor();
    reader.read(options.shuffle_size, false, block.sequences);
    reader.count_block();
  } while (block.sequences.num_sequences() == 0);
  block.order = shuffled(block.sequences.num_sequences(), options.seed,
                         stream_of(kBlockOrder, block.start.epoch, block.start.block));
  block.text_bytes = reader.text_bytes();
  return block;
}

const char* name_of(DocumentEnd end) {
  return end == DocumentEnd::kGuess ? "guess" : end == DocumentEnd::kLine ? "line" : "blank-line";
}

// What a position holds of: names and sizes of the files, whatever folder they are in.
std::string fingerprint(const std::vector<std::filesystem::path>& files) {
  std::string list;
  for (const auto& file : files) {
    std::error_code error;
    list += fmt::format("{} {}\n", file.filename().string(), std::filesystem::file_size(file, error));
  }
  return sha256_hex(std::as_bytes(std::span(list)));
}

}  // namespace

std::vector<std::filesystem::path> find_text_files(std::span<const std::filesystem::path> paths) {
  std::set<std::filesystem::path> files;
  for (const auto& path : paths) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      std::size_t before = files.size();
      for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        if (entry.is_regular_file() && is_text_name(entry.path())) files.insert(entry.path());
      }
      if (files.size() == before)
        fail(ErrorKind::kInput, "{}: no .txt or .jsonl file in it (also as .xz or .gz)", path.string());
    } else if (std::filesystem::is_regular_file(path, error)) {
      files.insert(path);
    } else {
      fail(ErrorKind::kInput, "{}: no such file or folder", path.string());
    }
  }
  if (files.empty()) fail(ErrorKind::kInput, "no text files are given");
  return {files.begin(), files.end()};
}

struct TextStream::State {
  State(const Tokenizer& text_tokenizer, TextStreamOptions stream_options)
      : tokenizer(text_tokenizer), options(std::move(stream_options)) {
    if (options.files.empty()) fail(ErrorKind::kInput, "no text files are given");
    if (options.shuffle_size < 1)
      fail(ErrorKind::kInput, "shuffle size {}: wanted at least 1", options.shuffle_size);
    reader.emplace(tokenizer, options, true, Part::kTraining);
  }
  ~State() { stop(); }

  void work() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      changed.wait(lock, [&] { return stopping || !ready; });
      if (stopping) return;
      lock.unlock();
      std::optional<Block> block;
      std::exception_ptr thrown;
      try {
        block = read_block(*reader, options);
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      ready = std::move(block);
      failure = thrown;
      changed.notify_all();
      if (failure) return;
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      changed.notify_all();
    }
    if (worker.joinable()) worker.join();
    stopping = false;
    ready.reset();
    failure = nullptr;
  }

  void advance() {
    if (!worker.joinable()) worker = std::thread([this] { work(); });
    const auto begin = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ready || failure; });
    waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (failure) std::rethrow_exception(failure);
    current = std::move(ready);
    ready.reset();
    at = 0;
    changed.notify_all();
  }

  Json settings() const {
    Json all = Json::object({{"max_length", options.max_length},
                             {"shuffle_size", options.shuffle_size},
                             {"cross_documents", options.cross_documents},
                             {"document_end", name_of(options.document_end)},
                             {"hold_back", options.hold_back},
                             {"seed", std::to_string(options.seed)},
                             {"vocab_size", tokenizer.vocab_size()},
                             {"num_files", static_cast<int64_t>(options.files.size())},
                             {"files", fingerprint(options.files)}});
    if (options.mixed) all.set("mixed", options.mixed->fingerprint());
    return all;
  }

  const Tokenizer& tokenizer;
  const TextStreamOptions options;
  std::optional<Reader> reader;  // the thread's while it runs
  std::thread worker;
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  std::optional<Block> ready;
  std::exception_ptr failure;

  std::optional<Block> current;
  int64_t at = 0;  // sequences of it that were given
  std::optional<Json> settings_of_files;
  Cursor first;  // where `current` begins, before there is one
  double waited = 0;
};

TextStream::TextStream(const Tokenizer& tokenizer, TextStreamOptions options)
    : state_(std::make_unique<State>(tokenizer, std::move(options))) {}
TextStream::~TextStream() = default;

TextStream::Sample TextStream::next() {
  State& s = *state_;
  if (!s.current || s.at == s.current->sequences.num_sequences()) s.advance();
  const Block& block = *s.current;
  const int64_t sequence = block.order[static_cast<std::size_t>(s.at)];
  Sample sample{block.start.sample + s.at, block.start.epoch, {}};
  const auto ids = block.sequences.ids.begin();
  sample.ids.assign(ids + block.sequences.offsets[static_cast<std::size_t>(sequence)],
                    ids + block.sequences.offsets[static_cast<std::size_t>(sequence) + 1]);
  ++s.at;
  return sample;
}

Json TextStream::position() const {
  State& s = *state_;
  if (!s.settings_of_files) s.settings_of_files = s.settings();
  const Cursor& c = s.current ? s.current->start : s.first;
  return Json::object({{"stream", *s.settings_of_files},
                       {"epoch", c.epoch},
                       {"block", c.block},
                       {"file", static_cast<int64_t>(c.file)},
                       {"byte", c.at.byte},
                       {"line", c.at.line},
                       {"document", c.document},
                       {"in_document", c.in_document},
                       {"sample", c.sample},
                       {"taken", s.current ? s.at : 0}});
}

void TextStream::seek(const Json& position) {
  State& s = *state_;
  const auto number = [&](const char* key) {
    const Json* value = position.find(key);
    const int64_t n = value == nullptr ? -1 : value->as_int(fmt::format("position of the texts: {}", key));
    if (n < 0) fail(ErrorKind::kFormat, "position of the texts: {} is missing or negative", key);
    return n;
  };
  const Json* stream = position.find("stream");
  if (stream == nullptr) fail(ErrorKind::kFormat, "position of the texts: stream is missing");
  const Json mine = s.settings();
  for (const auto& [key, value] : mine.as_object("stream")) {
    const Json* theirs = stream->find(key);
    if (theirs == nullptr) fail(ErrorKind::kFormat, "position of the texts: stream.{} is missing", key);
    if (*theirs != value) {
      fail(ErrorKind::kInput, "the texts are not those of the run to be resumed: {} is {}, was {}", key,
           value.dump(), theirs->dump());
    }
  }
  for (const auto& [key, value] : stream->as_object("stream")) {
    if (!mine.contains(key)) {
      fail(ErrorKind::kInput, "the texts are not those of the run to be resumed: {} was {}", key,
           value.dump());
    }
  }
  Cursor cursor;
  cursor.epoch = number("epoch");
  cursor.block = number("block");
  cursor.file = static_cast<std::size_t>(number("file"));
  cursor.at = {static_cast<uint64_t>(number("byte")), static_cast<uint64_t>(number("line"))};
  cursor.document = number("document");
  cursor.sample = number("sample");
  if (const Json* inside = position.find("in_document"))
    cursor.in_document = inside->as_bool("position of the texts: in_document");
  const int64_t taken = number("taken");
  s.stop();
  s.current.reset();
  s.reader->seek(cursor);
  s.first = cursor;
  s.at = 0;
  if (taken == 0) return;
  s.advance();
  if (taken > s.current->sequences.num_sequences()) {
    fail(ErrorKind::kInput, "the texts are not those of the run to be resumed: {} sequences, wanted {}",
         s.current->sequences.num_sequences(), taken);
  }
  s.at = taken;
}

TextStream::Usage TextStream::usage() const {
  return {state_->current ? state_->current->text_bytes : 0, state_->waited};
}

RaggedBatch read_held_back(const Tokenizer& tokenizer, const TextStreamOptions& options, int64_t limit) {
  RaggedBatch all, some;
  const auto files = static_cast<int64_t>(options.files.size());
  for (int64_t f = 0; f < files; ++f) {
    TextStreamOptions one = options;
    one.files = {options.files[static_cast<std::size_t>(f)]};
    Reader reader(tokenizer, one, false, Part::kHeldBack);
    // The rest of what may come, shared among the files that are left.
    const int64_t share = (limit - all.num_sequences() + files - f - 1) / (files - f);
    reader.read(share, true, some);
    for (int64_t i = 0; i < std::min(share, some.num_sequences()); ++i) {
      all.append(std::span(some.ids).subspan(static_cast<std::size_t>(some.offsets[i]),
                                             static_cast<std::size_t>(some.length(i))));
    }
  }
  return all;
}

RaggedBatch read_sequences(const Tokenizer& tokenizer, const TextStreamOptions& options, int64_t limit) {
  RaggedBatch read, first;
  Reader reader(tokenizer, options, false, Part::kAll);
  reader.read(limit, false, read);
  for (int64_t i = 0; i < std::min(limit, read.num_sequences()); ++i) {
    first.append(std::span(read.ids).subspan(static_cast<std::size_t>(read.offsets[i]),
                                             static_cast<std::size_t>(read.length(i))));
  }
  return first;
}

}  // namespace penjing
