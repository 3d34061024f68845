#include "train/event_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "io/crc32c.h"

namespace penjing::train {

static_assert(std::endian::native == std::endian::little, "records and protobuf are little-endian");

namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

// Protobuf's wire format: a field is its key (number << 3 | wire type), then a varint (0), eight bytes (1), a
// length and bytes (2), or four bytes (5).
class Message {
 public:
  Message& varint(uint32_t field, uint64_t value) {
    key(field, 0);
    append_varint(value);
    return *this;
  }
  Message& fixed64(uint32_t field, double value) {
    key(field, 1);
    append_raw(value);
    return *this;
  }
  Message& fixed32(uint32_t field, float value) {
    key(field, 5);
    append_raw(value);
    return *this;
  }
  Message& bytes(uint32_t field, std::string_view value) {
    key(field, 2);
    append_varint(value.size());
    text_ += value;
    return *this;
  }
  Message& message(uint32_t field, const Message& value) { return bytes(field, value.text_); }
  Message& packed(uint32_t field, std::span<const double> values) {
    return bytes(field, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  }
  const std::string& text() const { return text_; }

 private:
  void key(uint32_t field, uint32_t wire_type) { append_varint(field << 3 | wire_type); }
  void append_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  template <typename T>
  void append_raw(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    text_.append(raw, sizeof raw);
  }
  std::string text_;
};

// Field numbers of tensorflow/core/util/event.proto and framework/{summary,tensor,tensor_shape,types}.proto.
namespace event {
constexpr uint32_t kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace session_log {
constexpr uint32_t kStatus = 1, kStart = 1;
}
namespace summary {
constexpr uint32_t kValue = 1, kTag = 1, kSimpleValue = 2, kHistogram = 5, kTensor = 8, kMetadata = 9;
constexpr uint32_t kPluginData = 1, kPluginName = 1;
}  // namespace summary
namespace histogram {
constexpr uint32_t kMin = 1, kMax = 2, kCount = 3, kSum = 4, kSumOfSquares = 5, kLimits = 6, kBuckets = 7;
}
namespace tensor {
constexpr uint32_t kDtype = 1, kString = 7, kShape = 2, kDim = 2, kSize = 1, kStringValue = 8;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

// The time in the name: now, or later than that of any event file in the folder, so that the names' order is
// that of their begins even when a run is resumed within a second, or on a host whose clock is behind.
int64_t next_time(const std::filesystem::path& folder) {
  auto time = static_cast<int64_t>(wall_time());
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    int64_t other = 0;
    const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), other);
    // Ten digits: until the year 2286; a larger number is no time.
    if (error == std::errc() && other < 9'999'999'999) time = std::max(time, other + 1);
  }
  return time;
}

std::filesystem::path new_path(const std::filesystem::path& folder) {
  static std::atomic<int> counter{0};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::kIo, "{}: cannot create: {}", folder.string(), error.message());
  return folder / fmt::format("{}{:010}.{}.{}.{}", kPrefix, next_time(folder), host_name(), ::getpid(),
                              counter.fetch_add(1));
}

uint32_t masked_crc(std::string_view bytes) {
  return mask_crc(crc32c(std::as_bytes(std::span(bytes.data(), bytes.size()))));
}

}  // namespace

std::string frame_record(std::string_view payload) {
  const uint64_t length = payload.size();
  std::string record(sizeof length, '\0');
  std::memcpy(record.data(), &length, sizeof length);
  const auto append_crc = [&record](uint32_t crc) {
    char raw[sizeof crc];
    std::memcpy(raw, &crc, sizeof crc);
    record.append(raw, sizeof raw);
  };
  append_crc(masked_crc(record));
  record += payload;
  append_crc(masked_crc(payload));
  return record;
}

EventFile::EventFile(const std::filesystem::path& folder, std::optional<int64_t> resumed_after)
    : file_(new_path(folder), AppendFile::Open::kCreate) {
  file_.append(frame_record(
      Message().fixed64(event::kWallTime, wall_time()).bytes(event::kFileVersion, "brain.Event:2").text()));
  // The first START of a run is ignored by the reader behind TensorBoard's pages, so that a new run has one
  // too.
  const Message start = Message().varint(session_log::kStatus, session_log::kStart);
  add_event(resumed_after.has_value() ? *resumed_after + 1 : 0,
            Message().message(event::kSessionLog, start).text());
}

void EventFile::add_event(int64_t step, std::string_view body) {
  std::string payload = Message()
                            .fixed64(event::kWallTime, wall_time())
                            .varint(event::kStep, static_cast<uint64_t>(step))
                            .text();
  payload += body;
  file_.append(frame_record(payload));
}

void EventFile::add_scalars(int64_t step, std::span<const Scalar> scalars) {
  Message all;
  for (const Scalar& scalar : scalars) {
    all.message(summary::kValue, Message()
                                     .bytes(summary::kTag, scalar.tag)
                                     .fixed32(summary::kSimpleValue, static_cast<float>(scalar.value)));
  }
  add_event(step, Message().message(event::kSummary, all).text());
}

void EventFile::add_scalar(int64_t step, std::string_view tag, double value) {
  const Scalar scalar = {tag, value};
  add_scalars(step, {&scalar, 1});
}

void EventFile::add_text(int64_t step, std::string_view tag, std::string_view markdown) {
  const Message plugin = Message().bytes(summary::kPluginName, "text");
  const Message shape = Message().message(tensor::kDim, Message().varint(tensor::kSize, 1));
  const Message value = Message()
                            .bytes(summary::kTag, tag)
                            .message(summary::kTensor, Message()
                                                           .varint(tensor::kDtype, tensor::kString)
                                                           .message(tensor::kShape, shape)
                                                           .bytes(tensor::kStringValue, markdown))
                            .message(summary::kMetadata, Message().message(summary::kPluginData, plugin));
  add_event(step, Message().message(event::kSummary, Message().message(summary::kValue, value)).text());
}

void EventFile::add_histogram(int64_t step, std::string_view tag, std::span<const float> values) {
  constexpr std::size_t kBuckets = 30;  // as many as TensorBoard draws
  double low = 0, high = 0, sum = 0, sum_of_squares = 0, count = 0;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    const double x = value;
    low = count == 0 ? x : std::min(low, x);
    high = count == 0 ? x : std::max(high, x);
    sum += x;
    sum_of_squares += x * x;
    ++count;
  }
  // A bucket holds (the limit before, its limit]; the first also the least value.
  std::array<double, kBuckets> limits{}, buckets{};
  const double width = (high - low) / kBuckets;
  for (std::size_t i = 0; i < kBuckets; ++i) limits[i] = low + width * static_cast<double>(i + 1);
  limits.back() = high;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    const auto at = std::lower_bound(limits.begin(), limits.end(), double{value}) - limits.begin();
    ++buckets[std::min(static_cast<std::size_t>(at), kBuckets - 1)];
  }
  const Message message = Message()
                              .fixed64(histogram::kMin, low)
                              .fixed64(histogram::kMax, high)
                              .fixed64(histogram::kCount, count)
                              .fixed64(histogram::kSum, sum)
                              .fixed64(histogram::kSumOfSquares, sum_of_squares)
                              .packed(histogram::kLimits, limits)
                              .packed(histogram::kBuckets, buckets);
  const Message value = Message().bytes(summary::kTag, tag).message(summary::kHistogram, message);
  add_event(step, Message().message(event::kSummary, Message().message(summary::kValue, value)).text());
}

}  // namespace penjing::train
