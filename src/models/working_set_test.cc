#include "models/working_set.h"

#include <gtest/gtest.h>

#include "models/testing.h"

namespace martlet::models {
namespace {

TEST(WilsonInterval, ContainsTheShareAndNarrowsWithMoreTrials) {
  EXPECT_EQ(wilson_interval(0, 0).upper, 1);
  EXPECT_EQ(wilson_interval(0, 100).lower, 0);
  EXPECT_NEAR(wilson_interval(0, 100).upper, 0.037, 0.001);
  EXPECT_EQ(wilson_interval(100, 100).upper, 1);
  const Bounds few = wilson_interval(5, 10);
  const Bounds many = wilson_interval(500, 1000);
  EXPECT_NEAR(few.lower, 0.237, 0.001);  // published values
  EXPECT_NEAR(few.upper, 0.763, 0.001);
  EXPECT_GT(many.lower, few.lower);
  EXPECT_LT(many.upper, few.upper);
}

TEST(WorkingSetCurve, LinearIsExactOnBothSidesOfItsCorner) {
  const auto curve = WorkingSetCurve::linear(1000, 100);
  for (const double seconds : {0.001, 1.0, 9.9, 10.0, 50.0}) {
    EXPECT_NEAR(curve.within(seconds).lower, std::min(1000.0, 100 * seconds), 1e-6) << seconds;
    EXPECT_NEAR(curve.within(seconds).upper, std::min(1000.0, 100 * seconds), 1e-6) << seconds;
  }
  EXPECT_EQ(WorkingSetCurve::linear(1000, 0).within(1e6).upper, 0);
}

TEST(WorkingSetCurve, NothingIsKnownWithoutObservations) {
  EXPECT_EQ(WorkingSetCurve(500).within(1).lower, 0);
  EXPECT_EQ(WorkingSetCurve(500).within(1).upper, 500);
  EXPECT_EQ(WorkingSetCurve(500).within(0).upper, 0);
}

// The true curve of evenly spread writes lies within the bounds of its own samples, at every time.
TEST(WorkingSetCurve, EnvelopeHoldsTheTrueCurve) {
  RandomInputs random;
  SCOPED_TRACE(testing::Message() << "seed " << random.seed());
  for (int i = 0; i < 500; ++i) {
    const double pages = random.between(100, 1e7);
    const double rate = random.between(1, 1e7);
    const auto curve = random.curve(pages, rate, 1'000'000);
    for (double seconds = 1e-4; seconds < 1e3; seconds *= 3) {
      const double truth = pages * (1 - std::exp(-rate * seconds / pages));
      const Bounds bounds = curve.within(seconds);
      EXPECT_LE(bounds.lower, truth * (1 + 1e-9)) << pages << " " << rate << " " << seconds;
      EXPECT_GE(bounds.upper, truth * (1 - 1e-5)) << pages << " " << rate << " " << seconds;
    }
  }
}

TEST(WorkingSetCurve, NeverFallsAndItsRateNeverRises) {
  RandomInputs random;
  SCOPED_TRACE(testing::Message() << "seed " << random.seed());
  for (int i = 0; i < 500; ++i) {
    const auto curve = random.curve(random.between(100, 1e7), random.between(1, 1e7));
    for (double seconds = 1e-4; seconds < 1e3; seconds *= 2) {
      EXPECT_LE(curve.within(seconds).lower, curve.within(2 * seconds).lower);
      EXPECT_LE(curve.within(seconds).upper, curve.within(2 * seconds).upper);
      EXPECT_GE(curve.rate(seconds).upper * (1 + 1e-9), curve.rate(2 * seconds).upper);
    }
  }
}

TEST(WorkingSetCurve, LinearUpToAWorkingSet) {
  const WorkingSetCurve curve = WorkingSetCurve::linear(1000, 10, 200);
  EXPECT_NEAR(curve.within(5).lower, 50, 1e-6);
  EXPECT_NEAR(curve.within(5).upper, 50, 1e-6);
  EXPECT_NEAR(curve.within(500).lower, 200, 1e-6);
  EXPECT_NEAR(curve.within(500).upper, 200, 1e-6);
}

}  // namespace
}  // namespace martlet::models
