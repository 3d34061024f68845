#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/output_file.h"

namespace penjing::train {

// What TensorBoard draws. A file "events.out.tfevents.<seconds>.<host>.<pid>.<n>" of records
//     uint64 length | uint32 masked CRC-32C of the length | payload | uint32 masked CRC-32C of the payload
// (little-endian; TFRecord), each payload a protobuf `Event` (tensorflow/core/util/event.proto): first the
// file version "brain.Event:2", then the mark of a session's start, then summaries. Each event is appended
// whole and at once; a killed run leaves at most one torn record, which TensorBoard ignores.
//
// A process writes a file of its own; TensorBoard joins those of a folder in the order of their names, and a
// new file's name comes after all that are there. Not thread-safe; with several ranks, rank 0 alone writes.
class EventFile {
 public:
  // Creates `folder` when absent. `resumed_after`: the step that the run goes on from; the session's start
  // then has the step after it, and readers drop what earlier files have of that step and later ones.
  explicit EventFile(const std::filesystem::path& folder,
                     std::optional<int64_t> resumed_after = std::nullopt);

  const std::filesystem::path& path() const { return file_.path(); }

  struct Scalar {
    std::string_view tag;  // "train/loss": the part before the slash is the group of plots
    double value = 0;      // stored as a float
  };
  void add_scalars(int64_t step, std::span<const Scalar> scalars);  // one event
  void add_scalar(int64_t step, std::string_view tag, double value);
  // Markdown, under "Text": hyper-parameters.
  void add_text(int64_t step, std::string_view tag, std::string_view markdown);
  // Under "Histograms": 30 buckets of equal width from the least finite value to the greatest; values that
  // are not finite are left out.
  void add_histogram(int64_t step, std::string_view tag, std::span<const float> values);

 private:
  void add_event(int64_t step, std::string_view body);
  AppendFile file_;
};

// One record as above.
std::string frame_record(std::string_view payload);

}  // namespace penjing::train
