#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

namespace martlet {
namespace {

TEST(Parallel, DoesEverythingOnce) {
  std::vector<std::atomic<int>> done(1000);
  ASSERT_TRUE(for_each_in_parallel(done.size(), [&](size_t i) -> Result<void> {
    ++done[i];
    return {};
  }));
  for (const auto& times : done) EXPECT_EQ(times, 1);
}

TEST(Parallel, HasNothingToDo) {
  EXPECT_TRUE(for_each_in_parallel(
      0, [](size_t) -> Result<void> { return fail(Code::kSystem, "was called"); }));
}

TEST(Parallel, TellsTheFirstFailureAndStops) {
  std::atomic<size_t> calls = 0;
  auto result = for_each_in_parallel(1'000'000, [&](size_t i) -> Result<void> {
    ++calls;
    if (i == 3 || i == 7) return fail(Code::kSystem, std::to_string(i));
    return {};
  });
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().to_string().find('3'), std::string::npos);
  EXPECT_LT(calls, 1'000'000u);
}

}  // namespace
}  // namespace martlet
