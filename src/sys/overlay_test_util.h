// An overlay with one directory in its lower layer, for tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/test_util.h"
#include "sys/mounts.h"

namespace martlet::sys {

class OverlayTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* part : {"lower/below", "upper", "work", "root"})
      std::filesystem::create_directories(directory_ / part);
    std::ofstream(directory_ / "lower/below/file") << "below";
    mount();
  }
  void TearDown() override { EXPECT_TRUE(unmount(root())); }

  void mount() {
    auto mounted = mount_overlay(
        {.lower = directory_ / "lower", .upper = directory_ / "upper", .work = directory_ / "work"},
        root());
    ASSERT_TRUE(mounted) << mounted.error().to_string();
  }
  std::string root() const { return directory_ / "root"; }
  std::string at(const std::string& name) const { return root() + "/" + name; }

  TemporaryDirectory directory_;
};

}  // namespace martlet::sys
