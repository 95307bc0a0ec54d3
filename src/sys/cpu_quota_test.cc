#include "sys/cpu_quota.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test_util.h"
#include "sys/cgroup.h"

namespace martlet::sys {
namespace {

class CpuQuotaTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    auto fd = open_file(directory_ / name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(fd.has_value());
    ASSERT_TRUE(write_file(directory_ / name, text).has_value());
  }
  std::string read(const std::string& name) { return read_file(directory_ / name).value_or(""); }
  TemporaryDirectory directory_;
};

TEST_F(CpuQuotaTest, Version1) {
  write("cpuacct.usage", "2500000000\n");
  write("cpu.cfs_period_us", "");
  write("cpu.cfs_quota_us", "");
  CpuQuota quota(directory_.path(), directory_.path(), false);
  EXPECT_EQ(*quota.used(), std::chrono::milliseconds(2500));
  ASSERT_TRUE(quota.limit(0.25).has_value());
  EXPECT_EQ(read("cpu.cfs_period_us"), "100000");
  EXPECT_EQ(read("cpu.cfs_quota_us"), "25000");
}

TEST_F(CpuQuotaTest, Version2) {
  write("cpu.stat", "usage_usec 1500\nuser_usec 1000\n");
  write("cpu.max", "");
  CpuQuota quota(directory_.path(), directory_.path(), true);
  EXPECT_EQ(*quota.used(), std::chrono::microseconds(1500));
  ASSERT_TRUE(quota.limit(1.5).has_value());
  EXPECT_EQ(read("cpu.max"), "150000 100000");
}

TEST_F(CpuQuotaTest, NoLimitAndALimitThatIsTooSmall) {
  write("cpu.cfs_period_us", "");
  write("cpu.cfs_quota_us", "");
  CpuQuota quota(directory_.path(), directory_.path(), false);
  ASSERT_TRUE(quota.limit(0).has_value());
  EXPECT_EQ(read("cpu.cfs_quota_us"), "-1");
  write("cpu.cfs_quota_us", "");
  ASSERT_TRUE(quota.limit(1e-6).has_value());
  EXPECT_EQ(read("cpu.cfs_quota_us"), "1000");
}

TEST(CpuQuota, OfAllProcesses) {
  auto layout = detect_cgroups();
  if (!layout) GTEST_SKIP() << "no cgroups";
  auto quota = CpuQuota::of(layout->freezer);
  if (!quota) {
    ASSERT_EQ(quota.error().code(), Code::kUnsupported) << quota.error().to_string();
    GTEST_SKIP() << quota.error().to_string();
  }
  EXPECT_GT(quota->used()->count(), 0);
}

}  // namespace
}  // namespace martlet::sys
