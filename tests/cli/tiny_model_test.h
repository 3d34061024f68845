#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"

namespace penjing::testing {

// A test of a command on a tiny sentence model, which lies in `model` of its scratch folder.
class TinyModelTest : public ::testing::Test {
 protected:
  void SetUp() override { write_tiny_folder(work_ / "model", TinyHead::kSentence); }
  std::string path(const std::string& name) const { return (work_ / name).string(); }
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
};

}  // namespace penjing::testing
