#include "migrate/stage_log.h"

#include <gtest/gtest.h>

namespace martlet::migrate {
namespace {

using namespace std::chrono_literals;

class ManualClock final : public Clock {
 public:
  Nanoseconds now() const override { return time; }
  void sleep_for(Nanoseconds duration) override { time += duration; }
  Nanoseconds time{1h};
};

class LastProgress final : public Observer {
 public:
  void on_progress(const Progress& progress) override { last = progress; }
  void on_stage_done(const StageReport&) override {}
  Progress last{.stage = Stage::kPreflight};
};

class Log : public ::testing::Test {
 protected:
  ManualClock clock_;
  LastProgress seen_;
  StageLog log_{clock_, seen_, "redis", "host-a", "host-b"};
};

TEST_F(Log, TheLinkRateIsTheRateOfTheLastSecond) {
  ASSERT_TRUE(log_.measure(Stage::kFirstCopy, [&]() -> Result<void> {
    for (uint64_t step = 1; step <= 50; ++step) {
      clock_.time += 100ms;
      log_.progress(Stage::kFirstCopy, step * 10'000'000);
      EXPECT_NEAR(seen_.last.link_rate, 100e6, 1);
    }
    for (uint64_t step = 1; step <= 10; ++step) {
      clock_.time += 100ms;
      log_.progress(Stage::kFirstCopy, 500'000'000 + step * 1'000'000);
    }
    EXPECT_NEAR(seen_.last.link_rate, 10e6, 1);
    return {};
  }));
}

TEST_F(Log, TransferredCountsEarlierStagesAndTimeLeftFollowsTheRate) {
  log_.add_bytes(Stage::kFirstCopy, 7'000);
  ASSERT_TRUE(log_.measure(Stage::kCapture, [&]() -> Result<void> {
    clock_.time += 1s;
    log_.progress(Stage::kTransfer, 1'000, {.round = 2, .remaining = 3'000});
    return {};
  }));
  EXPECT_EQ(seen_.last.bytes, 1'000u);
  EXPECT_EQ(seen_.last.transferred, 8'000u);
  EXPECT_EQ(seen_.last.outlook.round, 2u);
  EXPECT_EQ(seen_.last.time_left, Nanoseconds(3s));
}

TEST_F(Log, AStageInsideAnotherHasItsOwnTime) {
  auto inner = [&]() -> Result<void> {
    clock_.time += 2s;
    return {};
  };
  ASSERT_TRUE(log_.measure(Stage::kCapture, [&]() -> Result<void> {
    clock_.time += 1s;
    EXPECT_TRUE(log_.measure(Stage::kSecondCopy, inner));
    clock_.time += 4s;
    return {};
  }));
  const auto report = log_.finish();
  EXPECT_EQ(report.stages[static_cast<size_t>(Stage::kCapture)].seconds, 5);
  EXPECT_EQ(report.stages[static_cast<size_t>(Stage::kSecondCopy)].seconds, 2);
}

TEST_F(Log, AnUnknownRestHasNoTimeLeft) {
  clock_.time += 1s;
  log_.progress(Stage::kTransfer, 1'000);
  EXPECT_FALSE(seen_.last.time_left);
}

}  // namespace
}  // namespace martlet::migrate
