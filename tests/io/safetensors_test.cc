#include "io/safetensors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

// A .safetensors file by its parts, written without any of the library's own code.
std::string safetensors_bytes(const std::string& header, std::size_t data_bytes) {
  const uint64_t size = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &size, 8);
  file += header;
  for (std::size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i * 37 + 11);
  return file;
}

struct Malformed {
  const char* rule;  // the code is "safetensors.<rule>"
  std::string header;
  std::size_t data_bytes = 0;
};

// One entry with the rest of a valid file around it.
std::string entry(const std::string& fields) {
  return "{\"a\":{" + fields + "}}";
}

std::string two(const std::string& first, const std::string& second, const std::string& shape = "[2]") {
  return R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + first +
         R"(},"b":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + second + "}}";
}

const char* const kGood = R"("dtype":"F32","shape":[2,3],"data_offsets":[0,24])";

std::vector<Malformed> malformed_files() {
  std::vector<Malformed> files;
  const auto add = [&](const char* rule, const std::string& header, std::size_t data = 24) {
    files.push_back({rule, header, data});
  };
  // The header as text.
  for (const char* header : {"", " {}", "\n{}", "[]", "null", "\"a\"", "1", "\xef\xbb\xbf{}", "\0{}", "x"}) {
    add("header_start", header, 0);
  }
  for (const char* header : {"{",
                             "{\"a\"",
                             "{\"a\":",
                             "{\"a\":}",
                             "{,}",
                             "{} x",
                             "{}{}",
                             "{\"__metadata__\":{}",
                             "{'a':1}",
                             "{a:1}",
                             "{\"a\":{\"dtype\":\"F32\",}}",

                             "{\"a\":+1}",
                             "{\"a\":.5}",
                             "{\"a\":1.}",
                             "{\"a\":tru}",
                             "{\"a\":\"\\x\"}",
                             "{\"a\":\"\\u12\"}",
                             "{\"a\":\"\\ud800\"}",
                             "{\"\xff\":1}",
                             "{\"a\":\"\xc0\x80\"}",
                             "{\"a\":\"\xed\xa0\x80\"}",
                             "{\"a\":\"b\nc\"}",
                             "{/*x*/}",
                             "{//x\n}",
                             "{\"a\":NaN}",
                             "{\"a\":Infinity}",
                             "{\"__metadata__\":{\"a\":\"b\"}"}) {
    add("header_json", header, 0);
  }
  add("entry_not_object", "{\"a\":" + std::string(40, '[') + std::string(40, ']') + "}", 0);
  // Entries that are not objects.
  for (const char* value : {"1", "-1", "1.5", "1e400", "true", "false", "null", "\"F32\"", "[]", "[1]"}) {
    add(std::string(value) == "1e400" ? "header_json" : "entry_not_object",
        std::string("{\"a\":") + value + "}");
  }
  // Keys of an entry.
  add("missing_key", entry(""), 0);
  add("missing_key", entry(R"("dtype":"F32")"));
  add("missing_key", entry(R"("shape":[2,3],"data_offsets":[0,24])"));
  add("missing_key", entry(R"("dtype":"F32","data_offsets":[0,24])"));
  add("missing_key", entry(R"("dtype":"F32","shape":[2,3])"));
  for (const char* key : {"Dtype", "offsets", "strides", "", "data_offset", "__metadata__"}) {
    add("unknown_key", entry(std::string(kGood) + ",\"" + key + "\":1"));
  }
  for (const char* again : {R"("dtype":"F32")", R"("shape":[2,3])", R"("data_offsets":[0,24])"}) {
    add("duplicate_key", entry(std::string(kGood) + "," + again));
  }
  add("duplicate_key", std::string("{\"a\":{") + kGood + "},\"a\":{" + kGood + "}}");
  add("duplicate_key", R"({"__metadata__":{"x":"1","x":"2"}})", 0);
  add("duplicate_key", R"({"__metadata__":{},"__metadata__":{}})", 0);
  add("nul_in_name", std::string("{\"a\\u0000b\":{") + kGood + "}}");
  // Values of the wrong type.
  for (const char* value : {"1", "null", "true", "{}", "[\"F32\"]", "1.5"}) {
    add("value_type", entry(std::string(R"("dtype":)") + value + R"(,"shape":[2,3],"data_offsets":[0,24])"));
  }
  for (const char* value :
       {"6", "null", "\"[2,3]\"", "{}", "false", "[[2],3]", "[\"2\"]", "[null]", "[{}]", "[true]"}) {
    add("value_type", entry(std::string(R"("dtype":"F32","shape":)") + value + R"(,"data_offsets":[0,24])"));
  }
  for (const char* value : {"0", "null", "\"0,24\"", "{}", "[[0,24]]", "[\"0\",\"24\"]", "[null,24]"}) {
    add("value_type", entry(std::string(R"("dtype":"F32","shape":[2,3],"data_offsets":)") + value));
  }
  for (const char* value : {"1", "null", "[]", "{}", "true", "1.5"}) {
    add("metadata_value", std::string(R"({"__metadata__":{"k":)") + value + "}}", 0);
  }
  add("entry_not_object", R"({"__metadata__":"x"})", 0);
  add("entry_not_object", R"({"__metadata__":null})", 0);
  // Element types.
  for (const char* dtype : {"", "f32", "F31", "FLOAT32", "float32", "F8", "F8_E4M2", "I4", "U4", "BOOLEAN",
                            "F128", " F32", "F32 ", "Q4_0"}) {
    add("dtype", entry(std::string(R"("dtype":")") + dtype + R"(","shape":[2,3],"data_offsets":[0,24])"));
  }
  // Numbers.
  for (const char* number : {"1.5", "2.0", "9223372036854775808", "18446744073709551616", "1e3", "-0.5"}) {
    add("bad_number",
        entry(std::string(R"("dtype":"F32","shape":[)") + number + R"(],"data_offsets":[0,24])"));
    add("bad_number", entry(std::string(R"("dtype":"F32","shape":[6],"data_offsets":[0,)") + number + "]"));
  }
  for (const char* number : {"-1", "-6", "-9223372036854775808"}) {
    add("negative_dimension",
        entry(std::string(R"("dtype":"F32","shape":[)") + number + R"(],"data_offsets":[0,24])"));
    add("negative_offset",
        entry(std::string(R"("dtype":"F32","shape":[6],"data_offsets":[)") + number + ",24]"));
  }
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  add("rank", entry(R"("dtype":"F32","shape":[)" + ones + R"(],"data_offsets":[0,4])"), 4);
  for (const char* offsets : {"[]", "[0]", "[0,24,24]", "[0,8,16,24]"}) {
    add("offsets_count", entry(std::string(R"("dtype":"F32","shape":[6],"data_offsets":)") + offsets));
  }
  // Shapes that overflow: 2^60 elements, 2^32 x 2^32, and one whose size comes round to 0.
  for (const char* shape : {"[1152921504606846976]", "[4294967296,4294967296]", "[9223372036854775807]",
                            "[2,9223372036854775807,3]", "[4611686018427387904,4]"}) {
    add("shape_overflow",
        entry(std::string(R"("dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,24])"));
  }
  // Spans.
  add("reversed_offsets", entry(R"("dtype":"F32","shape":[2,3],"data_offsets":[24,0])"));
  add("reversed_offsets", entry(R"("dtype":"F32","shape":[0],"data_offsets":[1,0])"), 0);
  add("out_of_file", entry(R"("dtype":"F32","shape":[7],"data_offsets":[0,28])"));
  add("out_of_file", entry(kGood), 23);
  add("out_of_file", entry(R"("dtype":"F32","shape":[2,3],"data_offsets":[0,9223372036854775807])"));
  add("overlap", two("[0,8]", "[4,12]"), 16);
  add("overlap", two("[0,8]", "[0,8]"), 16);
  add("overlap", two("[0,16]", "[8,16]", "[4]"), 16);
  add("hole", two("[0,8]", "[12,20]"), 20);
  add("hole", entry(R"("dtype":"F32","shape":[5],"data_offsets":[4,24])"));
  add("hole", entry(R"("dtype":"F32","shape":[0],"data_offsets":[24,24])"));
  add("trailing_bytes", entry(kGood), 25);
  add("trailing_bytes", "{}", 1);
  add("trailing_bytes", R"({"__metadata__":{"a":"b"}})", 8);
  add("size_mismatch", entry(R"("dtype":"F32","shape":[2,2],"data_offsets":[0,24])"));
  add("size_mismatch", entry(R"("dtype":"F32","shape":[],"data_offsets":[0,24])"));
  add("size_mismatch", entry(R"("dtype":"F32","shape":[0,6],"data_offsets":[0,24])"));
  add("size_mismatch", entry(R"("dtype":"F64","shape":[2,3],"data_offsets":[0,24])"));
  add("size_mismatch", entry(R"("dtype":"F16","shape":[2,3],"data_offsets":[0,24])"));
  add("misaligned_bits", entry(R"("dtype":"F4","shape":[3],"data_offsets":[0,24])"));
  add("misaligned_bits", entry(R"("dtype":"F6_E2M3","shape":[3],"data_offsets":[0,24])"));
  return files;
}

TEST(Safetensors, EveryMalformedFileHasItsOwnError) {
  const TestFolder folder("safetensors-malformed");
  const auto files = malformed_files();
  ASSERT_GE(files.size(), 100u);
  for (const Malformed& file : files) {
    const auto path = folder / "m.safetensors";
    write_bytes(path, safetensors_bytes(file.header, file.data_bytes));
    try {
      (void)read_safetensors(path);
      ADD_FAILURE() << "accepted: " << file.header;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), std::string("safetensors.") + file.rule) << file.header << "\n" << error.what();
      EXPECT_EQ(error.kind(), ErrorKind::kFormat) << file.header;
      EXPECT_NE(std::string(error.what()).find("m.safetensors"), std::string::npos) << error.what();
    }
  }
  RecordProperty("files", static_cast<int>(files.size()));
  std::printf("%zu malformed files\n", files.size());
}

TEST(Safetensors, HeaderLengthsOutOfRange) {
  const TestFolder folder("safetensors-length");
  const auto path = folder / "m.safetensors";
  const auto code_of = [&](const std::string& bytes) {
    write_bytes(path, bytes);
    try {
      (void)read_safetensors(path);
    } catch (const Error& error) {
      return error.code();
    }
    return std::string("none");
  };
  const std::string whole = safetensors_bytes(entry(kGood), 24);
  ASSERT_EQ(code_of(whole), "none");
  for (std::size_t size = 0; size < 8; ++size) {
    EXPECT_EQ(code_of(whole.substr(0, size)), "safetensors.too_short");
  }
  const auto with_length = [&](uint64_t length) {
    std::string bytes = whole;
    std::memcpy(bytes.data(), &length, 8);
    return bytes;
  };
  EXPECT_EQ(code_of(with_length(0)), "safetensors.header_start");
  EXPECT_EQ(code_of(with_length(1)), "safetensors.header_json");
  EXPECT_EQ(code_of(with_length(uint64_t{1} << 63)), "safetensors.header_too_long");
  EXPECT_EQ(code_of(with_length(~uint64_t{0})), "safetensors.header_too_long");
  EXPECT_EQ(code_of(with_length(100'000'001)), "safetensors.header_too_long");
  EXPECT_EQ(code_of(with_length(100'000'000)), "safetensors.header_out_of_file");
  EXPECT_EQ(code_of(with_length(whole.size() - 7)), "safetensors.header_out_of_file");
  // Every shorter file is refused too.
  for (std::size_t size = 8; size < whole.size(); ++size)
    EXPECT_NE(code_of(whole.substr(0, size)), "none") << size;
}

TEST(Safetensors, LegalOddities) {
  const TestFolder folder("safetensors-legal");
  const auto path = folder / "m.safetensors";
  const auto read = [&](const std::string& header, std::size_t data) {
    write_bytes(path, safetensors_bytes(header, data));
    return read_safetensors(path);
  };
  EXPECT_EQ(read("{}", 0).tensors.size(), 0u);
  EXPECT_EQ(read("{}      ", 0).tensors.size(), 0u);
  const auto scalar = read(entry(R"("dtype":"F32","shape":[],"data_offsets":[0,4])"), 4);
  EXPECT_EQ(scalar.tensors.at("a").size(), 1);
  const auto empty = read(entry(R"("dtype":"F64","shape":[3,0,5],"data_offsets":[0,0])"), 0);
  EXPECT_EQ(empty.tensors.at("a").size(), 0);
  EXPECT_TRUE(empty.tensors.at("a").bytes.empty());
  const auto meta = read(R"({"__metadata__":{"format":"pt","\u00e9":"x"},)" + entry(kGood).substr(1), 24);
  ASSERT_EQ(meta.metadata.size(), 2u);
  EXPECT_EQ(meta.metadata[1].first, "\xc3\xa9");
  // Entries in any order of the header; data in the order of the offsets.
  const auto swapped = read(two("[8,16]", "[0,8]"), 16);
  EXPECT_EQ(swapped.tensors.at("a").bytes.data() - swapped.tensors.at("b").bytes.data(), 8);
}

TEST(Safetensors, NotANumberIsReadAsItIs) {
  const TestFolder folder("safetensors-nan");
  const float values[] = {std::nanf(""), -std::numeric_limits<float>::infinity(), 1};
  TensorMap tensors;
  tensors.set("x", Tensor::from_floats({3}, values));
  write_safetensors(folder / "m.safetensors", tensors);
  const auto read = read_floats(read_safetensors(folder / "m.safetensors").tensors.at("x"), "x");
  EXPECT_TRUE(std::isnan(read[0]));
  EXPECT_EQ(read[1], values[1]);
}

// 10,000 files a little away from a valid one: an Error or a success, and what succeeds holds together.
TEST(Safetensors, TenThousandMutations) {
  const TestFolder folder("safetensors-mutations");
  const auto path = folder / "m.safetensors";
  const std::string whole = safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"encoder.w":{"dtype":"F32","shape":[2,3],)"
      R"("data_offsets":[0,24]},"encoder.b":{"dtype":"F16","shape":[4],"data_offsets":[24,32]},)"
      R"("empty":{"dtype":"I8","shape":[0],"data_offsets":[32,32]}} )",
      32);
  Rng rng(42);
  const std::string pieces[] = {"[",    "]",
                                "{",    "}",
                                "\"",   ",",
                                ":",    "-1",
                                "0",    "9223372036854775807",
                                "1e9",  "\\u0000",
                                "null", "F64",
                                "I8",   "24]",
                                "\xff", std::string(100, '['),
                                "\n"};
  int accepted = 0;
  for (int round = 0; round < 10000; ++round) {
    std::string bytes = whole;
    const int edits = 1 + static_cast<int>(rng.below(3));
    for (int e = 0; e < edits && !bytes.empty(); ++e) {
      const std::size_t at = rng.below(bytes.size());
      switch (rng.below(6)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
          break;
        case 1:
          bytes[at] = static_cast<char>(rng.below(256));
          break;
        case 2:
          bytes.resize(at);
          break;
        case 3:
          bytes.insert(at, pieces[rng.below(std::size(pieces))]);
          break;
        case 4:
          bytes.erase(at, 1 + rng.below(8));
          break;
        default:
          bytes.insert(at, bytes.substr(rng.below(bytes.size()), 1 + rng.below(20)));
          break;
      }
    }
    // Half of them with a header length that fits again, so that the parser is reached.
    if (rng.below(2) == 0 && bytes.size() > 40) {
      const uint64_t length = bytes.size() - 40;
      std::memcpy(bytes.data(), &length, 8);
    }
    write_bytes(path, bytes);
    try {
      const auto file = read_safetensors(path);
      ++accepted;
      std::size_t total = 0;
      for (const auto& [name, tensor] : file.tensors) {
        EXPECT_EQ(static_cast<std::size_t>(tensor.size()) * static_cast<std::size_t>(bits_of(tensor.type)),
                  tensor.bytes.size() * 8);
        total += tensor.bytes.size();
      }
      EXPECT_LE(total, bytes.size());
    } catch (const Error& error) {
      EXPECT_TRUE(error.code().starts_with("safetensors.")) << error.what();
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 5000);
}

TEST(Safetensors, EveryTypeComesBackAsWritten) {
  const TestFolder folder("safetensors-types");
  TensorMap tensors;
  for (int i = 0; i <= static_cast<int>(DType::kF4); ++i) {
    const auto type = static_cast<DType>(i);
    const int64_t elements = 8;
    std::vector<std::byte> bytes(static_cast<std::size_t>(elements * bits_of(type) / 8));
    for (std::size_t b = 0; b < bytes.size(); ++b)
      bytes[b] = static_cast<std::byte>(b * 29 + static_cast<std::size_t>(i));
    tensors.set(std::string("t.") + name_of(type), Tensor::from_bytes(type, {2, 4}, bytes));
  }
  tensors.set("scalar", Tensor::from_bytes(DType::kF32, {}, std::vector<std::byte>(4)));
  tensors.set("empty", Tensor::from_bytes(DType::kF32, {0, 7}, {}));
  const auto size = write_safetensors(folder / "m.safetensors", tensors, {{"k", "v \" \n"}});
  EXPECT_EQ(size, std::filesystem::file_size(folder / "m.safetensors"));
  const Safetensors read = read_safetensors(folder / "m.safetensors");
  ASSERT_EQ(read.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const Tensor& other = read.tensors.at(name);
    EXPECT_EQ(other.type, tensor.type) << name;
    EXPECT_EQ(other.shape, tensor.shape) << name;
    EXPECT_TRUE(std::equal(other.bytes.begin(), other.bytes.end(), tensor.bytes.begin(), tensor.bytes.end()))
        << name;
  }
  EXPECT_EQ(read.metadata.back(), (std::pair<std::string, std::string>("k", "v \" \n")));
  // Layout: header padded to 8 bytes, and elements aligned to their own size.
  const std::string bytes = read_bytes(folder / "m.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  for (const auto& [name, tensor] : read.tensors) {
    if (bits_of(tensor.type) < 8 || tensor.bytes.empty()) continue;
    const auto alignment = static_cast<uintptr_t>(bits_of(tensor.type)) / 8;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes.data()) % alignment, 0u) << name;
  }
}

TEST(Safetensors, AFullDiskLeavesNothing) {
  const TestFolder folder("safetensors-full");
  const auto path = folder / "m.safetensors";
  write_bytes(path, "what was there before");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);  // write() then fails with EFBIG
    const rlimit limit{1 << 16, 1 << 16};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    TensorMap tensors;
    tensors.set("x", Tensor::from_bytes(DType::kI8, {1 << 22}, std::vector<std::byte>(1 << 22)));
    try {
      write_safetensors(path, tensors);
    } catch (const Error& error) {
      ::_exit(error.kind() == ErrorKind::kResource ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(read_bytes(path), "what was there before");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Safetensors, OutputThatCannotBeWritten) {
  TensorMap tensors;
  EXPECT_THROW(write_safetensors("/nonexistent-folder/m.safetensors", tensors), Error);
}

}  // namespace
}  // namespace penjing
