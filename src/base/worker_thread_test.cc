#include "base/worker_thread.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>

namespace martlet {
namespace {

TEST(WorkerThreadTest, does_all_on_one_thread_that_is_not_the_callers) {
  WorkerThread worker;
  const auto first = worker.perform([] { return std::this_thread::get_id(); });
  const auto second = worker.perform([] { return std::this_thread::get_id(); });
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
}

TEST(WorkerThreadTest, hands_over_what_comes_of_it) {
  WorkerThread worker;
  int done = 0;
  worker.perform([&] { ++done; });
  EXPECT_EQ(done, 1);
  EXPECT_EQ(*worker.perform([] { return std::make_unique<int>(7); }), 7);
}

}  // namespace
}  // namespace martlet
