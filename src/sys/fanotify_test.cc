#include "sys/fanotify.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "sys/overlay_test_util.h"

namespace martlet::sys {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;

class FanotifyOnOverlay : public OverlayTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(OverlayTest::SetUp());
    mount_ = *open_file(root(), O_RDONLY | O_DIRECTORY);
  }
  void TearDown() override {
    mount_.reset();
    OverlayTest::TearDown();
  }

  static void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::app) << text;
  }

  Fanotify watch(Fanotify::Queue queue) {
    auto group = Fanotify::open(queue);
    EXPECT_TRUE(group) << group.error().to_string();
    auto watched = group->watch_file_system(root());
    EXPECT_TRUE(watched) << watched.error().to_string();
    return std::move(*group);
  }
  static std::vector<FileEvent> read(Fanotify& group) {
    std::vector<FileEvent> events;
    auto done = group.read([&](const FileEvent& event) { events.push_back(event); });
    EXPECT_TRUE(done) << done.error().to_string();
    return events;
  }
  std::string place_of(const FileHandle& handle) const {
    auto fd = open_handle(mount_.get(), handle, O_PATH);
    return fd ? path_of(*fd).value_or("") : fd.error().to_string();
  }

  Fd mount_;
};

TEST_F(FanotifyOnOverlay, TellsDirectoryNameAndObject) {
  Fanotify group = watch(Fanotify::Queue::kUnlimited);
  write(at("below/file"), "more");
  auto events = read(group);
  ASSERT_FALSE(events.empty());
  EXPECT_TRUE(events[0].what & FileEvent::kModified);
  EXPECT_EQ(events[0].entry.name, "file");
  EXPECT_EQ(place_of(events[0].entry.directory), at("below"));
  EXPECT_EQ(events[0].object, *handle_of(mount_.get(), "below/file"));
  EXPECT_TRUE(read(group).empty());
}

TEST_F(FanotifyOnOverlay, ARenameNamesBothPlacesAndHandlesFollow) {
  fs::create_directory(at("one"));
  fs::create_directory(at("one/inner"));
  Fanotify group = watch(Fanotify::Queue::kUnlimited);
  write(at("one/inner/file"), "x");
  fs::rename(at("one"), at("two"));
  auto events = read(group);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(place_of(events[0].entry.directory), at("two/inner"));
  EXPECT_EQ(events[1].what, FileEvent::kRenamed);
  EXPECT_TRUE(events[1].is_directory);
  EXPECT_EQ(events[1].old_entry.name, "one");
  EXPECT_EQ(events[1].entry.name, "two");
  EXPECT_EQ(place_of(events[1].object), at("two"));
}

TEST_F(FanotifyOnOverlay, ARemovedDirectoryIsGone) {
  fs::create_directory(at("one"));
  Fanotify group = watch(Fanotify::Queue::kUnlimited);
  write(at("one/file"), "x");
  fs::remove_all(at("one"));
  auto events = read(group);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(open_handle(mount_.get(), events[0].entry.directory, O_PATH).error().code(),
            Code::kGone);
}

TEST_F(FanotifyOnOverlay, AFurtherLinkIsCreated) {
  write(at("file"), "x");
  Fanotify group = watch(Fanotify::Queue::kUnlimited);
  ASSERT_EQ(::link(at("file").c_str(), at("same").c_str()), 0);
  EXPECT_THAT(read(group),
              Contains(AllOf(Field(&FileEvent::what, FileEvent::kCreated),
                             Field(&FileEvent::object, *handle_of(mount_.get(), "file")))));
}

TEST_F(FanotifyOnOverlay, AFullQueueOverflows) {
  write(at("0"), "x");
  Fanotify group = watch(Fanotify::Queue::kLimited);
  auto limit = std::stoul(read_file("/proc/sys/fs/fanotify/max_queued_events").value());
  for (size_t i = 0; i <= limit; ++i) fs::rename(at(std::to_string(i)), at(std::to_string(i + 1)));
  EXPECT_THAT(read(group), Contains(Field(&FileEvent::what, FileEvent::kOverflow)));
}

TEST(Fanotify, RefusesAFileSystemWithoutHandles) {
  auto group = Fanotify::open(Fanotify::Queue::kUnlimited);
  ASSERT_TRUE(group) << group.error().to_string();
  EXPECT_EQ(group->watch_file_system("/proc").error().code(), Code::kUnsupported);
}

TEST(Fanotify, RefusesWhatTheKernelNeverSays) {
  std::vector<std::byte> bytes(24, std::byte{0xff});
  EXPECT_FALSE(parse_events(bytes, [](const FileEvent&) {}));
}

}  // namespace
}  // namespace martlet::sys
