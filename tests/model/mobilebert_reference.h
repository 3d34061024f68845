#pragma once

#include <string>

#include "tests/model/family_reference.h"

namespace penjing::testing {

inline const FamilyReference& mobilebert_reference() {
  static const FamilyReference reference("mobilebert");
  return reference;
}

// Its shapes: the bottlenecked student, the teacher with inverted bottlenecks, one without bottlenecks.
inline const char* const kMobileBertShapes[] = {"student", "teacher", "plain"};

inline Model tiny_mobilebert(const std::string& shape, bool classifies = false) {
  return mobilebert_reference().model(shape, classifies);
}
inline RaggedBatch mobilebert_batch(int only = -1) {
  return mobilebert_reference().batch(only);
}

}  // namespace penjing::testing
