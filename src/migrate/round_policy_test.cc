#include "migrate/round_policy.h"

#include <gtest/gtest.h>

namespace martlet::migrate {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr double kLink = 100.0 * kMiB;  // bytes per second

const RoundContext kContext{.memory_bytes = 1024 * kMiB,
                            .max_pause = std::chrono::milliseconds(50)};

RoundReport round(uint32_t number, uint64_t left) {
  RoundReport report;
  report.number = number;
  report.left_bytes = left;
  report.link_rate = kLink;
  report.stopped_seconds = 0.001;
  report.expected_pause_seconds = expected_pause_seconds(left, kLink, 0.001);
  return report;
}

std::vector<RoundReport> rounds(std::initializer_list<uint64_t> left) {
  std::vector<RoundReport> all;
  for (uint64_t bytes : left) {
    auto next = round(static_cast<uint32_t>(all.size() + 1), bytes);
    next.changed_bytes = all.empty() ? kContext.memory_bytes : all.back().left_bytes;
    all.push_back(next);
  }
  return all;
}

TEST(RoundPolicy, FreezesWhenThePauseIsWithinItsLimit) {
  EXPECT_EQ(decide(rounds({kMiB / 8}), {}, kContext).step, NextStep::kFreeze);
  EXPECT_EQ(decide(rounds({500 * kMiB}), {}, kContext).step, NextStep::kAnotherRound);
  EXPECT_EQ(decide(rounds({500 * kMiB, 50 * kMiB}), {}, kContext).step, NextStep::kAnotherRound);
  EXPECT_EQ(decide(rounds({500 * kMiB, 50 * kMiB, kMiB / 8}), {}, kContext).step,
            NextStep::kFreeze);
}

// 2 MiB take 20 ms of the 50 that are allowed, and a round takes most of them away.
TEST(RoundPolicy, GoesOnWithinTheLimitAsLongAsThatIsWorthIt) {
  auto within = rounds({20 * kMiB, 2 * kMiB});
  EXPECT_EQ(decide(within, {}, kContext).step, NextStep::kAnotherRound);
  within.back().stopped_seconds = 0.01;
  EXPECT_EQ(decide(within, {}, kContext).step, NextStep::kFreeze) << "it stops for as long";
  EXPECT_EQ(decide(rounds({20 * kMiB, 2 * kMiB, 2 * kMiB}), {}, kContext).step, NextStep::kFreeze)
      << "the last one brought nothing";
  Options options;
  options.max_rounds = 2;
  EXPECT_EQ(decide(rounds({20 * kMiB, 2 * kMiB}), options, kContext).step, NextStep::kFreeze);
}

TEST(RoundPolicy, ALimitThatIsChangedUnderWayCounts) {
  RoundContext patient = kContext;
  patient.max_pause = std::chrono::seconds(10);
  auto last = rounds({500 * kMiB, 500 * kMiB});
  EXPECT_EQ(decide(last, {}, kContext).step, NextStep::kAnotherRound);
  EXPECT_EQ(decide(last, {}, patient).step, NextStep::kFreeze);
}

TEST(RoundPolicy, WhatNoRoundMakesShorterIsNotWaitedFor) {
  auto last = rounds({kMiB / 8});
  last.back().compare_seconds = 1;
  last.back().expected_pause_seconds += 1;
  EXPECT_EQ(decide(last, {}, kContext).step, NextStep::kFreeze);
}

TEST(RoundPolicy, OneBurstIsNotALackOfProgress) {
  EXPECT_EQ(decide(rounds({500 * kMiB, 100 * kMiB, 200 * kMiB}), {}, kContext).step,
            NextStep::kAnotherRound);
}

TEST(RoundPolicy, WhatFollowsALackOfProgressIsTheCallersChoice) {
  auto stuck = rounds({500 * kMiB, 500 * kMiB, 500 * kMiB});
  Options options;
  options.on_no_convergence = OnNoConvergence::kStop;
  EXPECT_EQ(decide(stuck, options, kContext).step, NextStep::kFreeze);
  options.on_no_convergence = OnNoConvergence::kPostcopy;
  EXPECT_EQ(decide(stuck, options, kContext).step, NextStep::kPostcopy);
  options.on_no_convergence = OnNoConvergence::kCancel;
  EXPECT_EQ(decide(stuck, options, kContext).step, NextStep::kCancel);
  options.on_no_convergence = OnNoConvergence::kThrottle;
  EXPECT_EQ(decide(stuck, options, kContext).step, NextStep::kThrottle);
}

TEST(RoundPolicy, AThrottledContainerIsFrozenInTheEnd) {
  auto stuck = rounds({500 * kMiB, 500 * kMiB, 500 * kMiB});
  RoundContext context = kContext;
  context.throttle_percent = kLowestThrottlePercent;
  EXPECT_EQ(decide(stuck, {}, context).step, NextStep::kFreeze);
}

TEST(RoundPolicy, RoundsAndTimeAreLimited) {
  Options options;
  options.on_no_convergence = OnNoConvergence::kStop;
  options.max_rounds = 2;
  EXPECT_EQ(decide(rounds({500 * kMiB, 100 * kMiB}), options, kContext).step, NextStep::kFreeze);
  options.max_rounds = 30;
  options.max_time = std::chrono::seconds(5);
  RoundContext late = kContext;
  late.elapsed = std::chrono::seconds(6);
  EXPECT_EQ(decide(rounds({500 * kMiB}), options, late).step, NextStep::kFreeze);
}

// (a) nothing is left, (b) more than after the round before, (c) more than N / 2^i.
TEST(RoundPolicy, Criterion1) {
  Options options;
  options.stop_rule = StopRule::kCriterion1;
  auto step = [&](std::initializer_list<uint64_t> left) {
    return decide(rounds(left), options, kContext).step;
  };
  EXPECT_EQ(step({0}), NextStep::kFreeze);
  EXPECT_EQ(step({400 * kMiB}), NextStep::kAnotherRound);
  EXPECT_EQ(step({513 * kMiB}), NextStep::kFreeze);
  EXPECT_EQ(step({100 * kMiB, 101 * kMiB}), NextStep::kFreeze);
  EXPECT_EQ(step({400 * kMiB, 200 * kMiB}), NextStep::kAnotherRound);
  EXPECT_EQ(step({400 * kMiB, 300 * kMiB}), NextStep::kFreeze);
}

// Whatever memory does, N / 2^i reaches less than a page, so that it always stops.
TEST(RoundPolicy, Criterion1AlwaysStops) {
  Options options;
  options.stop_rule = StopRule::kCriterion1;
  std::vector<RoundReport> all;
  uint64_t left = kContext.memory_bytes;
  for (uint32_t number = 1; number < 100; ++number) {
    left = left / 2;  // the slowest that it goes on for
    all.push_back(round(number, std::max<uint64_t>(left, 4096)));
    if (decide(all, options, kContext).step == NextStep::kFreeze) return;
  }
  FAIL() << "it did not stop";
}

}  // namespace
}  // namespace martlet::migrate
