#include <sys/inotify.h>

#include <filesystem>

#include "base/test_util.h"
#include "engine/files/kind_test_util.h"

namespace martlet::engine {
namespace {

class InotifyTest : public KindTest {
 protected:
  std::string path(const std::string& name) const { return directory_ / name; }

  void make(const std::string& name) const {
    ASSERT_TRUE(open_file(path(name), O_CREAT | O_RDWR, 0600).has_value());
  }

  int watch(const std::string& name, uint32_t mask) const {
    return ::inotify_add_watch(fd_.get(), path(name).c_str(), mask);
  }

  std::string watches_of(int fd) const {
    std::string info = *read_file("/proc/self/fdinfo/" + std::to_string(fd));
    return info.substr(info.find("inotify"));
  }

  TemporaryDirectory directory_;
  Fd fd_{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
};

TEST_F(InotifyTest, keeps_numbers_masks_and_objects) {
  make("a");
  make("b");
  ASSERT_EQ(watch("a", IN_MODIFY | IN_ONESHOT), 1);
  ASSERT_EQ(watch("b", IN_OPEN), 2);
  ASSERT_EQ(::inotify_rm_watch(fd_.get(), 2), 0);
  inotify_event ignored{};
  ASSERT_EQ(::read(fd_.get(), &ignored, sizeof ignored), ssize_t{sizeof ignored});
  ASSERT_EQ(watch("", IN_CREATE | IN_EXCL_UNLINK), 3);
  ASSERT_OK(capture({fd_.get()}));
  ASSERT_OK(restore());
  int copy = restored(fd_.get());
  EXPECT_EQ(watches_of(copy), watches_of(fd_.get()));
  EXPECT_LT(::read(copy, &ignored, sizeof ignored), 0);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(InotifyTest, watches_the_new_path_of_a_renamed_file) {
  make("before");
  watch("before", IN_MODIFY);
  std::filesystem::rename(path("before"), path("after"));
  ASSERT_OK(capture({fd_.get()}));
  EXPECT_EQ(record(fd_.get()).inotify().watches(0).path(), path("after"));
}

TEST_F(InotifyTest, refuses_events_that_were_not_read) {
  watch("", IN_CREATE);
  make("new");
  auto captured = capture({fd_.get()});
  ASSERT_FALSE(captured.has_value());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
}

TEST_F(InotifyTest, refuses_a_removed_file_that_the_group_has_not_open) {
  make("removed");
  watch("removed", IN_MODIFY);
  Fd elsewhere = *open_file(path("removed"), O_RDONLY);
  std::filesystem::remove(path("removed"));
  auto captured = capture({fd_.get()});
  ASSERT_FALSE(captured.has_value());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
}

TEST_F(InotifyTest, refuses_impossible_images) {
  watch("", IN_CREATE);
  ASSERT_OK(capture({fd_.get()}));
  image::InotifyWatch& record = *this->record(fd_.get()).mutable_inotify()->mutable_watches(0);
  const image::InotifyWatch sound = record;
  record.set_number(-1);
  EXPECT_FALSE(restore().has_value());
  record = sound;
  record.set_number(1 << 30);
  EXPECT_FALSE(restore().has_value());
  record = sound;
  record.set_mask(IN_MASK_ADD | IN_CREATE);
  EXPECT_FALSE(restore().has_value());
  record = sound;
  record.clear_path();
  record.set_file(99);
  EXPECT_FALSE(restore().has_value());
  record = sound;
  record.set_path("/no/such/file");
  EXPECT_FALSE(restore().has_value());
}

}  // namespace
}  // namespace martlet::engine
