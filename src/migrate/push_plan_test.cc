#include "migrate/push_plan.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace martlet::migrate {
namespace {

constexpr uint64_t kPage = 4096;
constexpr NsPid kFirst(1);
constexpr NsPid kSecond(2);

sys::Range pages(uint64_t first, uint64_t last) {
  return {first * kPage, last * kPage};
}

TEST(PushPlan, GoesOnAroundWhatWasWanted) {
  PushPlan plan;
  plan.add({kFirst, pages(0, 100)});
  plan.add({kSecond, pages(0, 100)});
  EXPECT_EQ(plan.next(4 * kPage)->range, pages(0, 4));
  EXPECT_EQ(plan.take({kSecond, pages(50, 52)}), (engine::Ranges{pages(50, 52)}));
  plan.go_on_at(kSecond, 50 * kPage);
  auto next = plan.next(4 * kPage);
  EXPECT_EQ(next->process, kSecond);
  EXPECT_EQ(next->range, pages(52, 56));
  EXPECT_TRUE(plan.take({kSecond, pages(50, 56)}).empty());
  EXPECT_EQ(plan.left(), (200 - 10) * kPage);
}

TEST(PushPlan, GivesOutEachPageOnce) {
  auto seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  PushPlan plan;
  std::set<std::pair<pid_t, uint64_t>> expected;
  for (NsPid process : {kFirst, kSecond}) {
    for (uint64_t start = 0; start < 500;) {
      uint64_t end = start + 1 + random() % 20;
      plan.add({process, pages(start, end)});
      for (uint64_t page = start; page < end; ++page) expected.emplace(process.value, page);
      start = end + 1 + random() % 10;
    }
  }
  auto give = [&](NsPid process, sys::Range range) {
    for (uint64_t page = range.start / kPage; page < range.end / kPage; ++page)
      ASSERT_EQ(expected.erase({process.value, page}), 1u) << process.value << " " << page;
  };
  for (;;) {
    NsPid process = random() % 2 == 0 ? kFirst : kSecond;
    uint64_t first = random() % 500;
    if (random() % 2 == 0)
      for (const sys::Range& range : plan.take({process, pages(first, first + random() % 30)}))
        give(process, range);
    auto next = plan.next((1 + random() % 8) * kPage);
    if (!next) break;
    give(next->process, next->range);
  }
  EXPECT_TRUE(expected.empty());
  EXPECT_EQ(plan.left(), 0u);
}

}  // namespace
}  // namespace martlet::migrate
