// Event files against records that TensorBoard 2.21's own RecordWriter and protobuf classes made of the same
// events; tools/oracles/event_file_check.py reads a whole run with TensorBoard.
#include "train/event_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>
#include <vector>

#include "io/crc32c.h"
#include "tests/base/test_folder.h"

namespace penjing::train {
namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

uint32_t crc_of(const std::string& bytes) {
  return crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

// The payloads of a file, each with its wall time (bytes 1 to 8) checked and made 1.5.
std::vector<std::string> read_payloads(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path);
  std::vector<std::string> payloads;
  for (std::size_t at = 0; at < bytes.size();) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data() + at, sizeof length);
    std::string payload = bytes.substr(at + 12, length);
    EXPECT_EQ(frame_record(payload), bytes.substr(at, length + 16));
    at += length + 16;
    double time = 0;
    std::memcpy(&time, payload.data() + 1, sizeof time);
    EXPECT_NEAR(time, static_cast<double>(std::time(nullptr)), 60);
    time = 1.5;
    std::memcpy(payload.data() + 1, &time, sizeof time);
    payloads.push_back(payload);
  }
  return payloads;
}

// RFC 3720, B.4, and the check value of CRC-32C.
TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc_of("123456789"), 0xe3069283u);
  EXPECT_EQ(crc_of(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc_of(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  EXPECT_EQ(crc_of(ascending), 0x46dd794eu);
  EXPECT_EQ(crc_of({ascending.rbegin(), ascending.rend()}), 0x113fdb5cu);
}

TEST(EventFile, IsWhatTensorBoardWrites) {
  const TestFolder folder("events");
  EventFile file(folder / "run", 7);
  const std::vector<EventFile::Scalar> scalars = {{"train/loss", 0.25}, {"lr", -2}};
  file.add_scalars(300, scalars);
  file.add_text(1, "note", "a *b*");
  const auto payloads = read_payloads(file.path());
  ASSERT_EQ(payloads.size(), 4u);
  EXPECT_EQ(frame_record(payloads[0]),
            from_hex("1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"));
  EXPECT_EQ(frame_record(payloads[1]),
            from_hex("0f000000000000006d532b0909000000000000f83f10083a0208019571c7d1"));
  EXPECT_EQ(
      frame_record(payloads[2]),
      from_hex("2c00000000000000f4aecc4509000000000000f83f10ac022a1e0a110a0a747261696e2f6c6f7373150000803e"
               "0a090a026c7215000000c053fc244e"));
  EXPECT_EQ(
      frame_record(payloads[3]),
      from_hex("300000000000000095f5d05f09000000000000f83f10012a230a210a046e6f7465420f08071204120208014205"
               "61202a622a4a080a060a0474657874575a4426"));
}

TEST(EventFile, NamesComeInTheOrderOfTheirBegins) {
  const TestFolder folder("names");
  const auto future = static_cast<int64_t>(std::time(nullptr)) + 1000;
  write_bytes(folder / ("events.out.tfevents." + std::to_string(future) + ".zzz.9.9"), "");
  write_bytes(folder / "events.out.tfevents.strange", "");
  const EventFile first(folder.path()), second(folder.path());
  const std::string one = first.path().filename(), two = second.path().filename();
  EXPECT_GT(one, "events.out.tfevents." + std::to_string(future) + ".zzz.9.9");
  EXPECT_GT(two, one);
  EXPECT_EQ(one.substr(0, 31), "events.out.tfevents." + std::to_string(future + 1) + ".");
}

TEST(EventFile, HistogramsCountEveryFiniteValue) {
  const TestFolder folder("histogram");
  EventFile file(folder.path());
  std::vector<float> values = {std::numeric_limits<float>::infinity(), std::nanf("")};
  for (int i = 0; i <= 300; ++i) values.push_back(static_cast<float>(i));
  file.add_histogram(2, "h", values);
  file.add_histogram(3, "same", std::vector<float>(4, 2.0f));
  file.add_histogram(4, "none", {});
  const auto payloads = read_payloads(file.path());
  ASSERT_EQ(payloads.size(), 5u);
  // The last 30 doubles of the payload are the buckets: 0 and 1 to 10 in the first, ten in each other.
  const auto buckets_of = [](const std::string& payload) {
    std::vector<double> buckets(30);
    std::memcpy(buckets.data(), payload.data() + payload.size() - 240, 240);
    return buckets;
  };
  std::vector<double> wanted(30, 10);
  wanted[0] = 11;
  EXPECT_EQ(buckets_of(payloads[2]), wanted);
  wanted.assign(30, 0);
  wanted[0] = 4;
  EXPECT_EQ(buckets_of(payloads[3]), wanted);
  EXPECT_EQ(buckets_of(payloads[4]), std::vector<double>(30, 0));
}

TEST(EventFile, AFolderThatCannotBeWritten) {
  const TestFolder folder("nofolder");
  write_bytes(folder / "file", "x");
  EXPECT_NE(error_of([&] { EventFile(folder / "file" / "run"); }), "");
}

}  // namespace
}  // namespace penjing::train
