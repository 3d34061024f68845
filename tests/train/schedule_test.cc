#include "train/schedule.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/train/reference_file.h"

namespace penjing::train {
namespace {

TEST(Schedule, FactorsAreThoseOfTransformers) {
  const Json& reference = *testing::train_reference().find("schedules");
  for (const char* name : {"linear", "cosine", "constant"}) {
    const std::vector<double> wanted = testing::doubles(*reference.find(name));
    const Schedule schedule = {parse_schedule(name), 4, 20};
    ASSERT_EQ(wanted.size(), 20u);
    for (int64_t step = 0; step < 20; ++step) {
      EXPECT_NEAR(schedule.factor(step), wanted[step], 1e-8) << name << " " << step;
    }
  }
}

TEST(Schedule, WithoutWarmUpTheFirstStepHasThePeak) {
  for (const char* name : {"linear", "cosine", "constant"}) {
    EXPECT_EQ((Schedule{parse_schedule(name), 0, 7}).factor(0), 1) << name;
  }
  EXPECT_EQ((Schedule{Schedule::Kind::kLinear, 0, 7}).factor(9), 0);  // past the end
}

TEST(Schedule, AnUnknownNameIsRefused) {
  try {
    parse_schedule("polynomial");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(error.what()).find("cosine"), std::string::npos);
  }
}

}  // namespace
}  // namespace penjing::train
