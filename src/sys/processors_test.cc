#include "sys/processors.h"

#include <gtest/gtest.h>

#include <thread>

namespace martlet::sys {
namespace {

cpu_set_t own_processors() {
  return allowed_processors(HostPid(0)).value();
}

bool equal(const cpu_set_t& a, const cpu_set_t& b) {
  return CPU_EQUAL(&a, &b);
}

TEST(Processors, ThreadStaysOnOneAndMayLeaveItAgain) {
  cpu_set_t before = own_processors();
  int here = ::sched_getcpu();
  {
    OnProcessor guard(here);
    EXPECT_TRUE(equal(own_processors(), only_processor(here)));
    std::thread([&] { EXPECT_TRUE(equal(own_processors(), only_processor(here))); }).join();
  }
  EXPECT_TRUE(equal(own_processors(), before));
}

TEST(Processors, ProcessorThatDoesNotExistChangesNothing) {
  cpu_set_t before = own_processors();
  {
    OnProcessor guard(CPU_SETSIZE - 1);
    EXPECT_TRUE(equal(own_processors(), before));
  }
  EXPECT_TRUE(equal(own_processors(), before));
}

}  // namespace
}  // namespace martlet::sys
