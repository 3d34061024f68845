#include "data/text_stream.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "base/rng.h"
#include "data/sequence_packer.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

// Words w0 ... w99 and their pieces "##x", sentence ends, specials.
std::shared_ptr<const Tokenizer> tiny_tokenizer(const TestFolder& folder) {
  std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\n!\n)\n\"\n##x\n";
  for (int i = 0; i < 100; ++i) words += fmt::format("w{}\n", i);
  write_bytes(folder / "tokenizer" / "vocab.txt", words);
  write_bytes(folder / "tokenizer" / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  return Tokenizer::load(folder / "tokenizer");
}

std::string text_of(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  std::string text;
  for (const int32_t id : ids) text += (text.empty() ? "" : " ") + std::string(tokenizer.token(id));
  return text;
}

std::vector<std::string> texts_of(const Tokenizer& tokenizer, const RaggedBatch& batch) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    texts.push_back(
        text_of(tokenizer, std::span(batch.ids).subspan(static_cast<std::size_t>(batch.offsets[i]),
                                                        static_cast<std::size_t>(batch.length(i)))));
  }
  return texts;
}

using Texts = std::vector<std::string>;

TEST(SequencePacker, WholeSentencesAsManyAsFit) {
  const TestFolder folder("packer");
  const auto tokenizer = tiny_tokenizer(folder);
  const auto pack = [&](const std::string& name, const std::string& text, int64_t length, bool cross) {
    write_bytes(folder / name, text);
    TextStreamOptions options;
    options.files = {folder / name};
    options.max_length = length;
    options.cross_documents = cross;
    return texts_of(*tokenizer, read_sequences(*tokenizer, options, 100));
  };
  EXPECT_EQ(pack("a.txt", "w1 w2. w3 w4. w5 w6.\n\nw7 w8.\n", 8, false),
            (Texts{"[CLS] w1 w2 . w3 w4 . [SEP]", "[CLS] w5 w6 . [SEP]", "[CLS] w7 w8 . [SEP]"}));
  EXPECT_EQ(pack("a.txt", "w1 w2. w3 w4. w5 w6.\n\nw7 w8.\n", 9, true),
            (Texts{"[CLS] w1 w2 . w3 w4 . [SEP]", "[CLS] w5 w6 . [SEP] w7 w8 . [SEP]"}));
  // Closing marks belong to the sentence; a paragraph ends one without a full stop.
  EXPECT_EQ(pack("b.txt", "w1 (w2.)\nw3\nw4 w5 w6\n\nw9\n", 8, false),
            (Texts{"[CLS] w1 [UNK] w2 . ) w3 [SEP]", "[CLS] w4 w5 w6 [SEP]", "[CLS] w9 [SEP]"}));
  // Too long: cut between words, not before a piece of one; but within a word that is longer itself.
  EXPECT_EQ(pack("c.txt", "w1 w2 w3xx w4 w5\n", 6, false),
            (Texts{"[CLS] w1 w2 [SEP]", "[CLS] w3 ##x ##x w4 [SEP]", "[CLS] w5 [SEP]"}));
  EXPECT_EQ(pack("d.txt", "w3xxxxx\n", 5, false),
            (Texts{"[CLS] w3 ##x ##x [SEP]", "[CLS] ##x ##x ##x [SEP]"}));
  EXPECT_NE(error_of([&] { pack("d.txt", "w3\n", 2, false); }).find("no room"), std::string::npos);
}

TEST(TextStream, DocumentsOfLinesBlankLinesAndJson) {
  const TestFolder folder("documents");
  const auto tokenizer = tiny_tokenizer(folder);
  const auto read = [&](const std::string& name, const std::string& text, DocumentEnd end) {
    write_bytes(folder / name, text);
    TextStreamOptions options;
    options.files = {folder / name};
    options.document_end = end;
    return texts_of(*tokenizer, read_sequences(*tokenizer, options, 100));
  };
  const std::string lines = "w1\nw2\n\n", paragraphs = "w1\nw2\n \r\n\nw3\n";
  EXPECT_EQ(read("a.txt", lines, DocumentEnd::kGuess), (Texts{"[CLS] w1 [SEP]", "[CLS] w2 [SEP]"}));
  EXPECT_EQ(read("a.txt", paragraphs, DocumentEnd::kGuess), (Texts{"[CLS] w1 w2 [SEP]", "[CLS] w3 [SEP]"}));
  EXPECT_EQ(read("a.txt", lines, DocumentEnd::kBlankLine), (Texts{"[CLS] w1 w2 [SEP]"}));
  EXPECT_EQ(read("a.txt", paragraphs, DocumentEnd::kLine).size(), 3u);
  EXPECT_EQ(read("a.jsonl", "{\"text\": \"w1\\n\\nw2\"}\n\"w3\"\n", DocumentEnd::kGuess),
            (Texts{"[CLS] w1 w2 [SEP]", "[CLS] w3 [SEP]"}));
}

class Stream : public ::testing::Test {
 protected:
  TestFolder folder_{std::string("stream-") +
                     ::testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::shared_ptr<const Tokenizer> tokenizer_ = tiny_tokenizer(folder_);
  // Five files of documents of one to five paragraphs; every sequence of the corpus occurs once.
  TextStreamOptions corpus(int64_t shuffle_size) {
    Rng rng(5);
    for (int file = 0; file < 5; ++file) {
      std::string text;
      for (int document = 0; document < 40; ++document) {
        const auto paragraphs = 1 + rng.below(5);
        for (uint64_t p = 0; p < paragraphs; ++p) {
          for (uint64_t w = 0, words = 3 + rng.below(30); w < words; ++w) {
            text += fmt::format("w{}{}{} ", rng.below(100), rng.below(4) == 0 ? "x" : "",
                                rng.below(6) == 0 ? "." : "");
          }
          text += '\n';
        }
        text += '\n';
      }
      write_bytes(folder_ / "texts" / fmt::format("{}.txt", file), text);
    }
    const std::filesystem::path paths[] = {folder_ / "texts"};
    TextStreamOptions options;
    options.files = find_text_files(paths);
    options.max_length = 12;
    options.shuffle_size = shuffle_size;
    return options;
  }
};

TEST_F(Stream, AnEpochGivesEverySequenceOnceInAnOrderOfItsOwn) {
  const TextStreamOptions options = corpus(1 << 20);
  EXPECT_EQ(options.files.size(), 5u);
  const Texts all = texts_of(*tokenizer_, read_sequences(*tokenizer_, options, 1 << 20));
  ASSERT_GT(all.size(), 500u);
  TextStream stream(*tokenizer_, options);
  Texts epochs[2];
  for (int e = 0; e < 2; ++e) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const TextStream::Sample sample = stream.next();
      EXPECT_EQ(sample.epoch, e);
      EXPECT_EQ(sample.number, static_cast<int64_t>(static_cast<std::size_t>(e) * all.size() + i));
      epochs[e].push_back(text_of(*tokenizer_, sample.ids));
    }
  }
  EXPECT_NE(epochs[0], all);
  EXPECT_NE(epochs[0], epochs[1]);
  const auto sorted = [](Texts texts) {
    std::sort(texts.begin(), texts.end());
    return texts;
  };
  EXPECT_EQ(sorted(epochs[0]), sorted(all));
  EXPECT_EQ(sorted(epochs[1]), sorted(all));
}

TEST_F(Stream, GoesOnFromAnyPosition) {
  const TextStreamOptions options = corpus(50);
  std::vector<TextStream::Sample> samples;
  std::vector<Json> positions;
  {
    TextStream stream(*tokenizer_, options);
    for (int beyond = 0; beyond < 300;) {
      positions.push_back(Json::parse(stream.position().dump(), "position"));
      samples.push_back(stream.next());
      beyond += samples.back().epoch == 1 ? 1 : 0;
    }
  }
  for (std::size_t from = 0; from < samples.size() - 120; from += 37) {
    TextStream stream(*tokenizer_, options);
    if (from % 2 == 0) (void)stream.next();  // a stream in use can be moved too
    stream.seek(positions[from]);
    EXPECT_EQ(stream.position().dump(), positions[from].dump());
    for (std::size_t i = from; i < from + 120; ++i) {
      const TextStream::Sample sample = stream.next();
      ASSERT_EQ(sample.ids, samples[i].ids) << from << " " << i;
      ASSERT_EQ(sample.number, samples[i].number);
      ASSERT_EQ(sample.epoch, samples[i].epoch);
    }
  }
}

TEST_F(Stream, RefusesAPositionOfOtherTexts) {
  TextStreamOptions options = corpus(50);
  TextStream stream(*tokenizer_, options);
  for (int i = 0; i < 60; ++i) (void)stream.next();
  const Json position = stream.position();
  const auto refused = [&](const TextStreamOptions& other, const std::string& what) {
    const std::string error = error_of([&] { TextStream(*tokenizer_, other).seek(position); });
    EXPECT_NE(error.find(what), std::string::npos) << error;
  };
  TextStreamOptions other = options;
  other.seed = 2;
  refused(other, "seed is \"2\", was \"1\"");
  other = options;
  other.max_length = 16;
  refused(other, "max_length is 16, was 12");
  other = options;
  other.files.pop_back();
  refused(other, "num_files is 4, was 5");
  write_bytes(folder_ / "texts" / "0.txt", "w1\n");
  refused(options, "files");
  const std::string no_stream = error_of([&] { stream.seek(Json::object()); });
  EXPECT_NE(no_stream.find("stream is missing"), std::string::npos);
}

TEST_F(Stream, HeldBackDocumentsAreInNoEpoch) {
  TextStreamOptions options = corpus(64);
  const auto all = texts_of(*tokenizer_, read_sequences(*tokenizer_, options, 1 << 20));
  options.hold_back = 10;
  const auto held = texts_of(*tokenizer_, read_held_back(*tokenizer_, options, 1 << 20));
  ASSERT_GT(held.size(), 20u);
  std::multiset<std::string> seen;
  {
    TextStream stream(*tokenizer_, options);
    for (auto sample = stream.next(); sample.epoch == 0; sample = stream.next())
      seen.insert(text_of(*tokenizer_, sample.ids));
  }
  // Blocks end anywhere, within documents too, so that a few sequences are cut in two: pieces are counted.
  const auto pieces = [](const auto& texts) {
    std::map<std::string, int> counts;
    for (const std::string& text : texts) {
      std::size_t begin = 0;
      while (begin < text.size()) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        const std::string piece = text.substr(begin, end - begin);
        if (piece[0] != '[') ++counts[piece];
        begin = end + 1;
      }
    }
    return counts;
  };
  auto sum = pieces(seen);
  for (const auto& [piece, count] : pieces(held)) sum[piece] += count;
  EXPECT_EQ(sum, pieces(all));
  // A limit is shared among the files.
  const RaggedBatch few = read_held_back(*tokenizer_, options, 10);
  EXPECT_EQ(few.num_sequences(), 10);
}

TEST_F(Stream, HostileFiles) {
  TextStreamOptions options;
  const auto failure = [&](const std::string& name, const std::string& text) {
    write_bytes(folder_ / name, text);
    options.files = {folder_ / name};
    return error_of([&] {
      TextStream stream(*tokenizer_, options);
      (void)stream.next();
    });
  };
  options.max_line_bytes = 1000;
  EXPECT_NE(failure("long.txt", "w1\n" + std::string(2000, 'w')).find("long.txt: line 2 is longer than 1000"),
            std::string::npos);
  EXPECT_NE(failure("binary.txt", std::string("w1\0w2\n", 6)).find("binary.txt: holds a zero byte"),
            std::string::npos);
  EXPECT_NE(failure("empty.txt", "").find("no text in"), std::string::npos);
  EXPECT_NE(failure("blank.txt", "\n  \n\n").find("no text in"), std::string::npos);
  EXPECT_NE(failure("bad.jsonl", "{\"text\": \"w1\"}\n{]\n").find("bad.jsonl: line 2"), std::string::npos);
  // Malformed UTF-8 is dropped, an empty file beside others passed over.
  write_bytes(folder_ / "a.txt", "w1 \xff\xfe w2\n");
  options.files = {folder_ / "a.txt", folder_ / "empty.txt"};
  TextStream stream(*tokenizer_, options);
  EXPECT_EQ(text_of(*tokenizer_, stream.next().ids), "[CLS] w1 w2 [SEP]");
  EXPECT_EQ(stream.next().epoch, 1);

  const std::filesystem::path none[] = {folder_ / "tokenizer", folder_ / "absent"};
  write_bytes(folder_ / "none" / "a.md", "w1\n");
  const std::filesystem::path folder_of_none[] = {folder_ / "none"};
  EXPECT_NE(error_of([&] { find_text_files(none); }).find("absent: no such file"), std::string::npos);
  EXPECT_NE(error_of([&] { find_text_files(folder_of_none); }).find("no .txt or .jsonl"), std::string::npos);
}

// The real corpus: a position deep in a compressed file.
TEST(TextStreamOnWikipedia, GoesOnWithinACompressedFile) {
  const char* given = std::getenv("PENJING_DATA");
  const std::filesystem::path data =
      given != nullptr ? given : std::filesystem::path(PENJING_SOURCE_DIR) / "../shared/data";
  const auto file = data / "wikipedia-2015" / "enwiki-2015-AA.txt.xz";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
  const auto tokenizer = Tokenizer::load(data / "bert-uncased-tokenizer");
  TextStreamOptions options;
  options.files = {file};
  options.shuffle_size = 2000;
  std::vector<TextStream::Sample> samples;
  Json position;
  {
    TextStream stream(*tokenizer, options);
    for (int i = 0; i < 7000; ++i) {
      if (i == 6543) position = stream.position();
      samples.push_back(stream.next());
      EXPECT_LE(samples.back().ids.size(), 128u);
    }
  }
  TextStream stream(*tokenizer, options);
  stream.seek(position);
  for (std::size_t i = 6543; i < 7000; ++i) ASSERT_EQ(stream.next().ids, samples[i].ids);
}

// Words spelled in a smaller vocabulary: other choices in every epoch, the same after a seek, and not in what
// is held back.
TEST(TextStream, WordsAreSpelledInTurn) {
  const TestFolder folder("stream-mixed");
  const auto make = [&](const char* name, const char* words) {
    write_bytes(folder / name / "vocab.txt", std::string("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\n") + words);
    write_bytes(folder / name / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
    return Tokenizer::load(folder / name);
  };
  const auto whole = make("whole", "cats\ncat\n##s\n"), reduced = make("reduced", "cat\n##s\n");
  std::string text;
  for (int i = 0; i < 30; ++i)
    text += "cats cats cats cats cats cats cats cats cats cats cats cats cats cats cats.\n";
  write_bytes(folder / "texts.txt", text);
  TextStreamOptions options;
  options.files = {folder / "texts.txt"};
  options.document_end = DocumentEnd::kLine;
  options.hold_back = 10;
  options.mixed = std::make_shared<MixedSegmentation>(*whole, reduced, 0.5, 3);
  TextStream stream(*whole, options);
  std::vector<std::vector<int32_t>> first, second;
  Json place;
  for (int i = 0; i < 54; ++i) {
    if (i == 40) place = stream.position();
    const TextStream::Sample sample = stream.next();
    (sample.epoch == 0 ? first : second).push_back({sample.ids.begin(), sample.ids.end()});
  }
  ASSERT_EQ(first.size(), 27u);
  std::set<std::vector<int32_t>> of_first(first.begin(), first.end()),
      of_second(second.begin(), second.end());
  EXPECT_EQ(of_first.size(), 1u);  // one text, one choice an epoch
  EXPECT_NE(of_first, of_second);
  TextStream again(*whole, options);
  again.seek(place);
  EXPECT_EQ(again.next().ids, second[13]);
  options.mixed = nullptr;
  TextStream plain(*whole, options);
  EXPECT_THROW(plain.seek(place), Error);
}

}  // namespace
}  // namespace penjing
