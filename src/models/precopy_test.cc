#include "models/precopy.h"

#include <gtest/gtest.h>

#include "models/testing.h"

namespace martlet::models {
namespace {

using Converges = Rounds::Converges;

constexpr double kPages = 1e6;
constexpr double kRate = 1e5;  // pages per second of the link

constexpr double kNoRoundIsWorthIt = 1e9;  // seconds of a stop

Rounds rounds_of(double written_per_second, const RoundLimits& limits,
                 double stop_seconds = kNoRoundIsWorthIt) {
  return run_rounds(WorkingSetCurve::linear(kPages, written_per_second),
                    {.seconds_per_page = Bounds::exactly(1 / kRate), .stop_seconds = stop_seconds},
                    limits);
}

// T = (V/R)·(1 - ρ^n)/(1 - ρ) for n rounds, left V·ρ^n.
TEST(Rounds, AgreeWithTheClosedForm) {
  for (const double rho : {0.1, 0.5, 0.8}) {
    for (const uint32_t n : {1u, 2u, 5u}) {
      const Rounds rounds = rounds_of(rho * kRate, {.max_rounds = n});
      const double seconds = kPages / kRate * (1 - std::pow(rho, n)) / (1 - rho);
      EXPECT_NEAR(rounds.seconds.lower, seconds, seconds * 1e-9);
      EXPECT_NEAR(rounds.seconds.upper, seconds, seconds * 1e-9);
      EXPECT_NEAR(rounds.pages_left.lower, kPages * std::pow(rho, n), 1e-3);
      EXPECT_NEAR(rounds.pages_left.upper, kPages * std::pow(rho, n), 1e-3);
    }
  }
}

// Rounds to V_thd: ⌈log_ρ(V_thd / V)⌉.
TEST(Rounds, EndAsSoonAsLittleEnoughIsLeft) {
  const Rounds rounds = rounds_of(kRate / 2, {.max_rounds = 100, .enough_pages = 1000});
  EXPECT_EQ(rounds.count.lower, std::ceil(std::log(1000 / kPages) / std::log(0.5)));
  EXPECT_EQ(rounds.count.upper, rounds.count.lower);
  EXPECT_LE(rounds.pages_left.upper, 1000);
  EXPECT_EQ(rounds.converges, Converges::kYes);
}

// Of ρ = 1/2: V·ρ^n/R·(1 - ρ) <= 2·T_stop ends them.
TEST(Rounds, GoOnWithinTheLimitAsLongAsThatIsWorthTheStop) {
  constexpr double kStop = 0.001;
  const RoundLimits limits{.max_rounds = 100, .enough_pages = kPages / 2};
  const Rounds rounds = rounds_of(kRate / 2, limits, kStop);
  EXPECT_EQ(rounds.count.lower, std::ceil(std::log(4 * kStop * kRate / kPages) / std::log(0.5)));
  EXPECT_LE(rounds.pages_left.upper, 4 * kStop * kRate);
  EXPECT_EQ(rounds.converges, Converges::kYes);
  EXPECT_EQ(rounds_of(kRate / 2, limits).count.upper, 1);
}

TEST(Rounds, DoNotConvergeWhenWritesOutrunTheLink) {
  const Rounds rounds = rounds_of(2 * kRate, {.max_rounds = 100, .enough_pages = 1000});
  EXPECT_EQ(rounds.converges, Converges::kNo);
  EXPECT_EQ(rounds.count.upper, 3);  // two that did not help, after the first
  EXPECT_NEAR(rounds.pages_left.upper, kPages, 1e-3);
}

TEST(Rounds, AreFollowedByOneMoreIfTooMuchIsLeft) {
  RoundLimits limits{.max_rounds = 2, .enough_pages = 1000, .rounds_after = 1};
  EXPECT_EQ(rounds_of(kRate / 2, limits).count.upper, 3);
  EXPECT_EQ(rounds_of(kRate / 2, limits).pages_left.upper, kPages / 8);
  limits.enough_pages = kPages / 4;
  EXPECT_EQ(rounds_of(kRate / 2, limits).count.upper, 2);
}

// A working set far smaller than the memory: the rounds end at W, not at all pages.
TEST(Rounds, AreLimitedByTheWorkingSet) {
  constexpr double kWorkingSet = 5000;
  const WorkingSetCurve curve(kPages, {{0.001, 1'000'000, 5000}, {100, 1'000'000, 5000}});
  const Rounds rounds = run_rounds(curve, {.seconds_per_page = Bounds::exactly(1 / kRate)},
                                   {.max_rounds = 30, .enough_pages = 10});
  EXPECT_EQ(rounds.converges, Converges::kNo);
  EXPECT_LT(rounds.pages_left.upper, 1.1 * kWorkingSet);
  EXPECT_GT(rounds.pages_left.lower, 0.1 * kWorkingSet);
}

TEST(Rounds, CriterionOneStopsInEveryCase) {
  for (const double written : {0.0, 0.4 * kRate, 0.6 * kRate, kRate, 10 * kRate}) {
    const Rounds rounds =
        rounds_of(written, {.rule = StopRule::kCriterion1, .max_rounds = 1'000'000});
    EXPECT_LT(rounds.count.upper, 30) << written;
  }
  // (c): more than N/2^i after round i, which for ρ > 1/2 is after the first.
  EXPECT_EQ(rounds_of(0.6 * kRate, {.rule = StopRule::kCriterion1}).count.upper, 1);
}

TEST(Rounds, NothingWrittenIsOneRound) {
  const Rounds rounds = rounds_of(0, {.max_rounds = 30, .enough_pages = 0});
  EXPECT_EQ(rounds.count.upper, 1);
  EXPECT_EQ(rounds.pages_left.upper, 0);
  EXPECT_EQ(rounds.converges, Converges::kYes);
}

// Rounds of a container that writes evenly, over a link whose pages take `page` seconds.
struct Course {
  double seconds = 0;
  double left = 0;
};
Course true_course(double pages, double rate, double page, double enough) {
  Course course{0, pages};
  do {
    const double round = course.left * page;
    course.seconds += round;
    course.left = pages * (1 - std::exp(-rate * round / pages));
  } while (course.left > enough);
  return course;
}

TEST(Rounds, BoundsHoldTheTrueCourse) {
  RandomInputs random;
  SCOPED_TRACE(testing::Message() << "seed " << random.seed());
  int compared = 0;
  for (int i = 0; i < 2000; ++i) {
    const double pages = random.between(1e3, 1e7);
    const double rate = random.between(1e2, 1e7);
    const double page = random.between(1e-7, 1e-4);
    const RoundLimits limits{.max_rounds = 30, .enough_pages = random.between(1, pages)};
    const Rounds rounds = run_rounds(
        random.curve(pages, rate, 100'000'000),
        {.seconds_per_page = {page, 2 * page}, .stop_seconds = kNoRoundIsWorthIt}, limits);
    if (rounds.converges != Converges::kYes) continue;
    const Course course =
        true_course(pages, rate, random.between(page, 2 * page), limits.enough_pages);
    EXPECT_TRUE((rounds.seconds * 1.001).upper >= course.seconds);
    EXPECT_TRUE((rounds.seconds * 0.999).lower <= course.seconds);
    EXPECT_GE(rounds.pages_left.upper, course.left * 0.999);
    EXPECT_LE(rounds.pages_left.lower, course.left * 1.001 + 1);
    compared++;
  }
  EXPECT_GT(compared, 100);
}

}  // namespace
}  // namespace martlet::models
