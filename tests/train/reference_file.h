#pragma once

#include "base/json.h"
#include "base/mapped_file.h"

namespace penjing::testing {

// tests/data/train_reference.json: PyTorch's numbers, written by tools/oracles/train_reference.py.
inline const Json& train_reference() {
  static const Json json = [] {
    const std::string path = PENJING_SOURCE_DIR "/tests/data/train_reference.json";
    return Json::parse(read_text_file(path, 1 << 20), path);
  }();
  return json;
}

inline std::vector<double> doubles(const Json& list) {
  std::vector<double> out;
  for (const Json& value : list.as_array("list")) out.push_back(value.as_double("value"));
  return out;
}

}  // namespace penjing::testing
