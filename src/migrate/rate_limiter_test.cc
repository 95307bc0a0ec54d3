#include "migrate/rate_limiter.h"

#include <gtest/gtest.h>

#include <thread>

#include "migrate/sleep_clock.h"
#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

using namespace std::chrono_literals;

class Limiter : public ::testing::Test {
 protected:
  double seconds_for(uint64_t bytes, uint64_t piece) {
    Nanoseconds start = clock_.now();
    for (uint64_t done = 0; done < bytes; done += piece) must(limiter_.take(piece, nullptr));
    return std::chrono::duration<double>(clock_.now() - start).count();
  }

  SleepClock clock_;
  std::atomic<uint64_t> rate_{1'000'000};
  RateLimiter limiter_{clock_, rate_};
};

TEST_F(Limiter, KeepsToTheRate) {
  EXPECT_NEAR(seconds_for(10'000'000, 10'000), 10, 0.05);
}

TEST_F(Limiter, KeepsToTheRateWithLargePieces) {
  seconds_for(4'000'000, 4'000'000);  // goes at once, and is paid for by the next
  EXPECT_NEAR(seconds_for(4'000'000, 1'000'000), 7, 0.05);
}

TEST_F(Limiter, WithoutALimitNobodyWaits) {
  rate_ = 0;
  EXPECT_EQ(seconds_for(1'000'000'000, 1'000'000), 0);
  EXPECT_EQ(limiter_.piece(), SIZE_MAX);
}

TEST_F(Limiter, ABreakEarnsOneBurst) {
  seconds_for(100'000, 10'000);
  clock_.sleep_for(1h);
  EXPECT_NEAR(seconds_for(1'000'000, 10'000), 1, 0.05);
}

TEST_F(Limiter, WhoeverWaitsGoesByTheNewRate) {
  must(limiter_.take(1'000'000, nullptr));
  int sleeps = 0;
  clock_.on_sleep = [&] {
    if (++sleeps == 10) rate_ = 100'000'000;
  };
  Nanoseconds start = clock_.now();
  must(limiter_.take(1, nullptr));
  EXPECT_LT(clock_.now() - start, 250ms);
  EXPECT_GE(clock_.now() - start, 200ms);
}

TEST_F(Limiter, LiftingTheLimitReleasesWhoeverWaits) {
  must(limiter_.take(100'000'000, nullptr));
  clock_.on_sleep = [this] { rate_ = 0; };
  must(limiter_.take(1, nullptr));
  EXPECT_LE(clock_.now(), 1s + RateLimiter::kStep);
}

TEST_F(Limiter, ACancelEndsTheWait) {
  auto cancellation = must(Cancellation::create());
  must(limiter_.take(100'000'000, &cancellation));
  clock_.on_sleep = [&] { cancellation.cancel(); };
  auto taken = limiter_.take(1, &cancellation);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kCancelled);
}

// In real time, so only the lower bound can be told.
TEST(SharedLimiter, ConnectionsShareOneRate) {
  SystemClock clock;
  std::atomic<uint64_t> rate{50'000'000};
  RateLimiter limiter(clock, rate);
  Stopwatch watch(clock);
  {
    std::vector<std::jthread> senders;
    for (int i = 0; i < 4; ++i)
      senders.emplace_back([&] {
        for (int piece = 0; piece < 50; ++piece) must(limiter.take(100'000, nullptr));
      });
  }
  EXPECT_GT(watch.seconds(), 0.3);  // 20 MB, less the bursts
}

}  // namespace
}  // namespace martlet::migrate
