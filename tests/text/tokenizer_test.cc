// The tokenizer on a vocabulary written here; the comparison with the Hugging Face library is
// tools/oracles/tokenizer_compare.py.
#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>

#include "base/error.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "text/unicode.h"

namespace penjing {
namespace {

using Offsets = std::vector<std::pair<int32_t, int32_t>>;

constexpr const char* kTokens[] = {"[PAD]",  "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff",
                                   "##able", "the",   "tree",  "s",     "##s",    ",",  "cafe",
                                   "i",      "##nto", "国",    "e",     "##e",    "x"};

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/penjing_text_XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }
  std::filesystem::path path;
};

std::string vocab_text() {
  std::string text;
  for (const char* token : kTokens) text += std::string(token) + "\n";
  return text;
}

std::string tokenizer_json(
    const std::string& added = "",
    const std::string& normalizer =
        R"({"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true})") {
  std::string vocab;
  for (std::size_t i = 0; i < std::size(kTokens); ++i)
    vocab += (i > 0 ? "," : "") + ("\"" + std::string(kTokens[i]) + "\":" + std::to_string(i));
  return R"({"version":"1.0","added_tokens":[{"id":2,"content":"[CLS]","special":true,"normalized":false},)"
         R"({"id":3,"content":"[SEP]","special":true,"normalized":false},{"id":4,"content":"[MASK]","special":true,"normalized":false})" +
         added + R"(],"normalizer":)" + normalizer +
         R"(,"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing",)"
         R"("single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],)"
         R"("pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}},)"
         R"({"Sequence":{"id":"B","type_id":1}},{"SpecialToken":{"id":"[SEP]","type_id":1}}],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},)"
         R"("[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},)"
         R"("model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{)" +
         vocab + "}}}";
}

std::shared_ptr<const Tokenizer> load(const std::string& json) {
  const Folder folder;
  folder.write("tokenizer.json", json);
  return Tokenizer::load(folder.path);
}

TEST(Tokenizer, SplitsWordsAndTellsCharacters) {
  const auto tokenizer = load(tokenizer_json());
  const Encoding e = tokenizer->encode("Unaffable  trees, x");
  EXPECT_EQ(e.ids, (std::vector<int32_t>{2, 5, 6, 7, 9, 11, 12, 19, 3}));
  EXPECT_EQ(e.offsets,
            (Offsets{{0, 0}, {0, 2}, {2, 5}, {5, 9}, {11, 15}, {15, 16}, {16, 17}, {18, 19}, {0, 0}}));
  EXPECT_EQ(e.special_mask, (std::vector<uint8_t>{1, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(e.words, (std::vector<int32_t>{-1, 0, 0, 0, 1, 1, 2, 3, -1}));
  EXPECT_EQ(tokenizer->decode(e.ids), "unaffable trees, x");
  EXPECT_EQ(tokenizer->mask_id(), 4);
}

TEST(Tokenizer, OffsetsCountCharactersOfTheOriginal) {
  const auto tokenizer = load(tokenizer_json());
  // é as one code point, and as e + accent: the accent is dropped, the offset covers its letter.
  EXPECT_EQ(tokenizer->encode("caf\u00e9").offsets, (Offsets{{0, 0}, {0, 4}, {0, 0}}));
  EXPECT_EQ(tokenizer->encode("cafe\u0301 x").offsets, (Offsets{{0, 0}, {0, 4}, {6, 7}, {0, 0}}));
  EXPECT_EQ(tokenizer->encode("x国x").ids, (std::vector<int32_t>{2, 19, 16, 19, 3}));
  EXPECT_EQ(tokenizer->encode("x国x").offsets, (Offsets{{0, 0}, {0, 1}, {1, 2}, {2, 3}, {0, 0}}));
  EXPECT_EQ(tokenizer->encode("").ids, (std::vector<int32_t>{2, 3}));
}

TEST(Tokenizer, UnknownAndLongWords) {
  const auto tokenizer = load(tokenizer_json());
  EXPECT_EQ(tokenizer->encode("zebra the").ids, (std::vector<int32_t>{2, 1, 8, 3}));
  const std::string long_word = "s" + std::string(100, 's');
  EXPECT_EQ(tokenizer->encode(long_word.substr(1)).ids.size(), 102u);  // 100 characters are split
  EXPECT_EQ(tokenizer->encode(long_word).ids, (std::vector<int32_t>{2, 1, 3}));
  EXPECT_EQ(tokenizer->encode(long_word).offsets[1], (std::pair<int32_t, int32_t>{0, 101}));
}

TEST(Tokenizer, AddedTokensAreFoundInRawText) {
  const auto tokenizer = load(tokenizer_json(
      R"(,{"id":20,"content":"<new>","lstrip":true,"rstrip":true,"special":false,"normalized":false})"));
  EXPECT_EQ(tokenizer->vocab_size(), 21);
  const Encoding e = tokenizer->encode("the[MASK]tree  <new> x");
  EXPECT_EQ(e.ids, (std::vector<int32_t>{2, 8, 4, 9, 20, 19, 3}));
  EXPECT_EQ(e.offsets, (Offsets{{0, 0}, {0, 3}, {3, 9}, {9, 13}, {13, 21}, {21, 22}, {0, 0}}));
  EXPECT_EQ(tokenizer->encode("[mask]").ids.size(), 5u);  // other case: three ordinary words
}

TEST(Tokenizer, PairsAndTruncation) {
  const auto tokenizer = load(tokenizer_json());
  const Encoding pair = tokenizer->encode_pair("the tree", "x");
  EXPECT_EQ(pair.ids, (std::vector<int32_t>{2, 8, 9, 3, 19, 3}));
  EXPECT_EQ(pair.type_ids, (std::vector<int32_t>{0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(pair.sequence, (std::vector<int32_t>{-1, 0, 0, -1, 1, -1}));

  EncodeOptions options;
  options.max_length = 4;
  const Encoding cut = tokenizer->encode("the tree the tree", options);
  EXPECT_EQ(cut.ids, (std::vector<int32_t>{2, 8, 9, 3}));
  EXPECT_TRUE(cut.truncated);
  EXPECT_FALSE(tokenizer->encode("the tree", options).truncated);

  options.max_length = 8;  // room for 5
  const std::string three = "x x x", six = "x x x x x x";
  const auto lengths = [&](const std::string& a, const std::string& b, Truncation how) {
    options.truncation = how;
    const Encoding e = tokenizer->encode_pair(a, b, options);
    return std::pair(std::count(e.sequence.begin(), e.sequence.end(), 0),
                     std::count(e.sequence.begin(), e.sequence.end(), 1));
  };
  EXPECT_EQ(lengths(three, six, Truncation::kLongestFirst), std::pair(2L, 3L));
  EXPECT_EQ(lengths("x", six, Truncation::kLongestFirst), std::pair(1L, 4L));
  // Both too long: the longer gets the odd token, however much longer it is.
  EXPECT_EQ(lengths("x x x x x x x x x x x x x", six, Truncation::kLongestFirst), std::pair(3L, 2L));
  EXPECT_EQ(lengths("x x x x x x x", "unaffable unaffable unaffable", Truncation::kLongestFirst),
            std::pair(2L, 3L));
  EXPECT_EQ(lengths(six, "x", Truncation::kOnlyFirst), std::pair(4L, 1L));
  EXPECT_EQ(lengths(three, six, Truncation::kOnlySecond), std::pair(3L, 2L));
  EXPECT_EQ(lengths(six, six, Truncation::kNone), std::pair(6L, 6L));
  options.truncation = Truncation::kOnlyFirst;
  EXPECT_THROW(tokenizer->encode_pair(three, six, options), Error);
  options.max_length = 1;
  EXPECT_THROW(tokenizer->encode("x", options), Error);
}

TEST(Tokenizer, MalformedUtf8) {
  EXPECT_EQ(decode_utf8("a\xe4\xb8z\xff\xf0\x9f\x98"),
            (std::vector<uint32_t>{'a', 0xFFFD, 'z', 0xFFFD, 0xFFFD}));
  EXPECT_EQ(decode_utf8("\xed\xa0\x80"), (std::vector<uint32_t>{0xFFFD, 0xFFFD, 0xFFFD}));  // a surrogate
  const auto tokenizer = load(tokenizer_json());
  EXPECT_EQ(tokenizer->encode("x\xff x").ids, (std::vector<int32_t>{2, 19, 19, 3}));
  EncodeOptions strict;
  strict.strict_utf8 = true;
  EXPECT_THROW(tokenizer->encode("x\xff x", strict), Error);
}

TEST(Tokenizer, VocabFileGivesTheSame) {
  const Folder folder;
  folder.write("vocab.txt", vocab_text());
  folder.write("tokenizer_config.json",
               R"({"do_lower_case": true, "model_max_length": 128, "mask_token": "[MASK]"})");
  const auto tokenizer = Tokenizer::load(folder.path);
  const auto other = load(tokenizer_json());
  for (const char* text : {"Unaffable trees", "caf\u00e9, [MASK]", "", "国x\t\n"})
    EXPECT_EQ(tokenizer->encode(text).ids, other->encode(text).ids) << text;
  EXPECT_EQ(tokenizer->model_max_length(), 128);
}

TEST(Tokenizer, BrokenFilesAreRefused) {
  const std::string good = tokenizer_json();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const std::pair<std::string, ErrorKind> cases[] = {
      {"", ErrorKind::kFormat},
      {"[]", ErrorKind::kFormat},
      {"{}", ErrorKind::kFormat},
      {with("\"tree\":9", "\"tree\":8"), ErrorKind::kFormat},   // two tokens share an id
      {with("\"tree\":9", "\"tree\":99"), ErrorKind::kFormat},  // a hole
      {with("\"tree\":9", "\"tree\":-1"), ErrorKind::kFormat},
      {with("\"tree\":9", "\"tree\":2147483648"), ErrorKind::kFormat},
      {with("\"tree\":9", "\"tree\":\"9\""), ErrorKind::kFormat},
      {with("\"tree\":9", "\"the\":9"), ErrorKind::kFormat},  // a token twice
      {with("\"type\":\"WordPiece\",\"unk", "\"type\":\"BPE\",\"unk"), ErrorKind::kUnsupported},
      {with("BertPreTokenizer", "Whitespace"), ErrorKind::kUnsupported},
      {with("\"BertNormalizer\"", "\"NFKC\""), ErrorKind::kUnsupported},
      {with("TemplateProcessing", "ByteLevel"), ErrorKind::kUnsupported},
      {with("\"unk_token\":\"[UNK]\"", "\"unk_token\":\"[unknown]\""), ErrorKind::kFormat},
      {with("\"ids\":[2]", "\"ids\":[2000]"), ErrorKind::kFormat},
      {with("{\"id\":4,\"content\":\"[MASK]\"", "{\"id\":5,\"content\":\"[MASK]\""), ErrorKind::kFormat},
      {with("\"max_input_chars_per_word\":100", "\"max_input_chars_per_word\":0"), ErrorKind::kFormat},
      {with("\"special\":true", "\"single_word\":true,\"special\":true"), ErrorKind::kUnsupported}};
  for (const auto& [text, kind] : cases) {
    try {
      (void)load(text);
      ADD_FAILURE() << "accepted: " << text.substr(0, 200);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
    }
  }
  const Folder folder;
  folder.write("vocab.txt", "[UNK]\n[UNK]\n");
  EXPECT_THROW(Tokenizer::load(folder.path), Error);
  folder.write("vocab.txt", "");
  EXPECT_THROW(Tokenizer::load(folder.path), Error);
  EXPECT_THROW(Tokenizer::load(folder.path / "nothing"), Error);
}

TEST(Tokenizer, MutatedFilesNeverDoAnythingElseThanFailOrWork) {
  Rng rng(7);
  const std::string json = tokenizer_json(), vocab = vocab_text();
  const Folder folder;
  int refused = 0;
  for (int i = 0; i < 10000; ++i) {
    const bool is_json = i % 4 != 0;
    std::string text = is_json ? json : vocab;
    for (uint64_t n = 1 + rng.below(3); n > 0; --n) {
      const std::size_t at = rng.below(text.size());
      switch (rng.below(3)) {
        case 0:
          text[at] = static_cast<char>(text[at] ^ 1 << rng.below(8));
          break;
        case 1:
          text.resize(at + 1);
          break;
        default:
          text.insert(at, text.substr(rng.below(text.size()), rng.below(20)));
          break;
      }
    }
    const Folder* place = &folder;
    std::filesystem::remove(place->path / "tokenizer.json");
    place->write(is_json ? "tokenizer.json" : "vocab.txt", text);
    try {
      (void)Tokenizer::load(place->path)->encode("Unaffable trees, x [MASK] caf\u00e9");
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 3000);
  EXPECT_LT(refused, 10000);
}

// Pieces of text that meet every branch of the fast path: words known and not, capitals, punctuation, control
// characters, marks, spaces of all kinds, malformed bytes, added tokens whole and in part.
std::string made_text(Rng& rng) {
  static const std::string kParts[] = {"the",
                                       "Tree",
                                       "unaffable",
                                       "UNAFFABLES",
                                       "s",
                                       "zzz",
                                       "into",
                                       "x",
                                       ",",
                                       "!",
                                       "[",
                                       "]",
                                       "[MASK]",
                                       "[[MASK]]",
                                       "[mask]",
                                       "[MAS",
                                       "<mask>",
                                       "<Mask>",
                                       " ",
                                       " ",
                                       " ",
                                       "  ",
                                       "\t",
                                       "\n",
                                       "\r",
                                       "\x01",
                                       "\x7f",
                                       std::string(1, 0),
                                       "caf\u00e9",
                                       "\u0301",
                                       "\u00a0",
                                       "\u2003",
                                       "国",
                                       "\u2019",
                                       "\u0130",
                                       "\xff",
                                       "\xe5\x9b",
                                       "\u200b",
                                       std::string(70, 'x'),
                                       std::string(120, 's'),
                                       std::string(513, 'x'),
                                       std::string(511, 'e') + "\u00e9"};
  std::string text;
  for (uint64_t n = rng.below(12); n > 0; --n) text += kParts[rng.below(std::size(kParts))];
  return text;
}

TEST(Tokenizer, IdsAloneAreTheSame) {
  const std::string mask = R"(,{"id":20,"content":"<mask>","special":true,"lstrip":true,"normalized":)";
  const std::string cased =
      R"({"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":false,"strip_accents":false,"lowercase":false})";
  const Folder folder;
  folder.write("vocab.txt", vocab_text());
  const std::shared_ptr<const Tokenizer> tokenizers[] = {
      load(tokenizer_json()),
      load(tokenizer_json(mask + "false}")),
      load(tokenizer_json(mask + "true}")),
      load(tokenizer_json("", cased)),
      load(tokenizer_json(R"(,{"id":20,"content":"tree x","normalized":false})")),
      load(tokenizer_json(R"(,{"id":20,"content":"!\u00e9","normalized":false})")),
      Tokenizer::load(folder.path)};
  Rng rng(11);
  int64_t ids = 0, cut = 0;
  for (int i = 0; i < 20000; ++i) {
    const Tokenizer& tokenizer = *tokenizers[i % std::size(tokenizers)];
    const std::string first = made_text(rng), second = made_text(rng);
    EncodeOptions whole;
    whole.add_special_tokens = rng.below(4) != 0;
    whole.max_length = rng.below(2) == 0 ? 0 : static_cast<int64_t>(3 + rng.below(20));
    EncodeOptions alone = whole;
    alone.ids_only = true;
    const Encoding one = tokenizer.encode(first, whole), one_ids = tokenizer.encode(first, alone);
    ASSERT_EQ(one.ids, one_ids.ids) << i << ": " << first;
    ASSERT_EQ(one.truncated, one_ids.truncated);
    ASSERT_TRUE(one_ids.type_ids.empty() && one_ids.offsets.empty());
    const Encoding two = tokenizer.encode_pair(first, second, whole),
                   two_ids = tokenizer.encode_pair(first, second, alone);
    ASSERT_EQ(two.ids, two_ids.ids) << i << ": " << first << " | " << second;
    ASSERT_EQ(two.truncated, two_ids.truncated);
    const std::vector<int32_t> types =
        two_ids.type_ids.empty() ? std::vector<int32_t>(two.ids.size(), 0) : two_ids.type_ids;
    ASSERT_EQ(two.type_ids, types);
    ids += std::ssize(one.ids);
    cut += one.truncated ? 1 : 0;
  }
  EXPECT_GT(ids, 100000);
  EXPECT_GT(cut, 1000);
}

TEST(Tokenizer, ManyTextsOnManyThreads) {
  const auto tokenizer = load(tokenizer_json());
  Rng rng(12);
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back(made_text(rng));
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const std::vector<Encoding> all = encode_all(*tokenizer, pool, texts, {});
    ASSERT_EQ(all.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) ASSERT_EQ(all[i].ids, tokenizer->encode(texts[i]).ids);
  }
}

TEST(Tokenizer, LongLinesTakeLinearTime) {
  for (const bool ids_only : {false, true}) {
    const auto tokenizer = load(tokenizer_json());
    EncodeOptions how;
    how.ids_only = ids_only;
    const auto seconds = [&](const std::string& unit, std::size_t bytes) {
      std::string text;
      while (text.size() < bytes) text += unit;
      double best = 1e9;
      for (int round = 0; round < 3; ++round) {
        const std::clock_t begin = std::clock();  // of the CPU: other programs do not count
        (void)tokenizer->encode(text, how);
        best = std::min(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
      }
      return best;
    };
    // Eight times the text: 8 times the time when linear, 64 when quadratic, which is then tens of seconds.
    // The half second is for what a busy machine adds to milliseconds (pages to clear, caches shared with
    // other programs).
    for (const char* unit : {"the ", "s", "\u0301\u0323", "\u0130", "国", "\xff"})
      EXPECT_LT(seconds(unit, 1 << 20), 24 * seconds(unit, 1 << 17) + 0.5) << unit;
  }
}

}  // namespace
}  // namespace penjing
