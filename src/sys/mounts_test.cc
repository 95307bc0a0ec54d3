#include "sys/mounts.h"

#include <filesystem>
#include <fstream>

#include "sys/overlay_test_util.h"

namespace martlet::sys {
namespace {

namespace fs = std::filesystem;

class MountedOverlay : public OverlayTest {};

TEST_F(MountedOverlay, ForgetsWhatWasChangedBehindIt) {
  ASSERT_TRUE(fs::exists(root() + "/below/file"));
  ASSERT_FALSE(fs::exists(root() + "/later"));
  fs::create_directory(directory_ / "upper/below");
  std::ofstream(directory_ / "upper/below/new") << "new";
  std::ofstream(directory_ / "upper/later") << "new";
  ASSERT_FALSE(fs::exists(root() + "/below/new"));  // otherwise there is nothing to forget

  auto forgotten = forget_names(root());

  ASSERT_TRUE(forgotten) << forgotten.error().to_string();
  EXPECT_TRUE(fs::exists(root() + "/below/new"));
  EXPECT_TRUE(fs::exists(root() + "/below/file"));
  EXPECT_TRUE(fs::exists(root() + "/later"));
}

TEST_F(MountedOverlay, ForgettingNeedsNoMount) {
  ASSERT_TRUE(unmount(root()));
  EXPECT_TRUE(forget_names(root()));
  mount();
}

}  // namespace
}  // namespace martlet::sys
