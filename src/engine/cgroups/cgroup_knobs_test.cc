#include "engine/cgroups/cgroup_knobs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/fd.h"
#include "base/test_util.h"
#include "engine/cgroups/container_cgroups.h"

namespace martlet::engine {
namespace {

constexpr mode_t kReadWrite = S_IFREG | 0644;

TEST(CgroupKnobs, AreWhatSetsSomething) {
  EXPECT_TRUE(is_knob("memory.max", kReadWrite));
  EXPECT_TRUE(is_knob("cgroup.pressure", kReadWrite));
  EXPECT_TRUE(is_knob("cpu.cfs_quota_us", kReadWrite));
  EXPECT_FALSE(is_knob("memory.current", S_IFREG | 0444));
  EXPECT_FALSE(is_knob("cgroup.kill", S_IFREG | 0200));
  EXPECT_FALSE(is_knob("below", S_IFDIR | 0755));
  for (const char* file :
       {"cgroup.procs", "tasks", "cgroup.freeze", "freezer.state", "cpu.pressure", "memory.peak",
        "memory.failcnt", "memory.max_usage_in_bytes"})
    EXPECT_FALSE(is_knob(file, kReadWrite)) << file;
}

TEST(CgroupKnobs, OfSingleDevicesAreKnown) {
  EXPECT_TRUE(is_set_for_a_device("default 100\n8:0 50"));
  EXPECT_FALSE(is_set_for_a_device("default 100"));
  EXPECT_FALSE(is_set_for_a_device("50000 100000"));
  EXPECT_FALSE(is_set_for_a_device(""));
}

class KnobFile : public testing::Test {
 protected:
  void holds(const std::string& text) const { std::ofstream(directory_ / "limit") << text; }
  std::string now() const { return *read_file(directory_ / "limit"); }
  Result<void> write(const std::string& value, const std::string& file = "limit") const {
    image::CgroupKnob knob;
    knob.set_file(file);
    knob.set_value(value);
    return write_knob(directory_.path(), knob);
  }
  TemporaryDirectory directory_;
};

TEST_F(KnobFile, IsWrittenOnlyWhereItDiffers) {
  holds("max\n");
  ASSERT_TRUE(write("max"));
  EXPECT_EQ(now(), "max\n");
  ASSERT_TRUE(write("17"));
  EXPECT_EQ(now().substr(0, 2), "17");
}

TEST_F(KnobFile, ThatIsMissingIsNoLimit) {
  EXPECT_TRUE(write("max", "other"));
  EXPECT_TRUE(write("0", "other"));
  EXPECT_FALSE(write("17", "other"));
}

TEST(CgroupPath, CannotLeaveTheCgroup) {
  for (const char* path : {"", "a", "a/b", "a/b/c.slice", "...", "a b"})
    EXPECT_TRUE(is_cgroup_path(path)) << path;
  for (const char* path : {"/", "/a", "a/", "a//b", "..", "a/../..", ".", "a/./b"})
    EXPECT_FALSE(is_cgroup_path(path)) << path;
  EXPECT_FALSE(is_cgroup_path(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace martlet::engine
