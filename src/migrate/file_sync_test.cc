#include "migrate/file_sync.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>

#include "migrate/change_receiver.h"
#include "migrate/file_scan.h"
#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

namespace fs = std::filesystem;

// Two "hosts" in one process: every connection of the sender is served by a thread.
class FileSync : public ::testing::Test {
 protected:
  FileSync() {
    fs::create_directories(source_ / "upper");
    fs::create_directories(destination_ / "upper");
    write_text(source_ / "log", "started\n");
    write_text(destination_ / "log", "");
  }

  static std::vector<FileTree> trees_in(const TemporaryDirectory& directory) {
    return {{.name = "upper", .kind = FileTree::Kind::kDirectory, .path = directory / "upper"},
            {.name = "log", .kind = FileTree::Kind::kFile, .path = directory / "log"}};
  }

  FileSender make_sender() {
    std::vector<protocol::TreeTarget> targets;
    for (const FileTree& tree : trees_in(destination_)) targets.push_back(describe_target(tree));
    return FileSender(trees_in(source_), targets,
                      [this](protocol::Channel::Kind kind) { return connect(kind); });
  }

  Result<std::unique_ptr<TlsConnection>> connect(protocol::Channel::Kind kind) {
    auto pair = connect_pair(a_, b_, "host-b");
    connections_++;
    servers_.emplace_back([this, kind, server = std::move(pair.server)]() mutable {
      auto trees = trees_in(destination_);
      if (kind == protocol::Channel::FILES) return must(receive_files(*server, trees));
      MessageChannel messages(std::move(server));
      must(receive_changes(messages, trees, [this] { return count_finish(); }));
    });
    return std::move(pair.client);
  }

  Result<void> count_finish() {
    finishes_++;
    return {};
  }

  std::string at_source(const std::string& name) const { return source_ / ("upper/" + name); }
  std::string at_destination(const std::string& name) const {
    return destination_ / ("upper/" + name);
  }

  TestAuthority authority_;
  TlsContext a_ = authority_.context_of("host-a");
  TlsContext b_ = authority_.context_of("host-b");
  TemporaryDirectory source_;
  TemporaryDirectory destination_;
  int connections_ = 0;
  std::atomic<int> finishes_ = 0;
  std::vector<std::jthread> servers_;
};

TEST_F(FileSync, KeepsWhatAnOverlayIsMadeOf) {
  write_text(at_source("data"), "hello");
  ASSERT_EQ(::link(at_source("data").c_str(), at_source("same").c_str()), 0);
  ASSERT_EQ(::mknod(at_source("whiteout").c_str(), S_IFCHR, makedev(0, 0)), 0);
  fs::create_directory(at_source("opaque"));
  ASSERT_EQ(::setxattr(at_source("opaque").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::chown(at_source("data").c_str(), 12345, 54321), 0);
  fs::create_symlink("/etc/passwd", at_source("link"));

  EXPECT_GT(must(make_sender().first_copy()), 0u);

  EXPECT_EQ(read_text(at_destination("data")), "hello");
  struct stat status;
  ASSERT_EQ(::stat(at_destination("same").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 2u);
  EXPECT_EQ(status.st_uid, 12345u);
  ASSERT_EQ(::lstat(at_destination("whiteout").c_str(), &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0));
  char value = 0;
  EXPECT_EQ(::getxattr(at_destination("opaque").c_str(), "trusted.overlay.opaque", &value, 1), 1);
  EXPECT_EQ(fs::read_symlink(at_destination("link")), "/etc/passwd");
  EXPECT_EQ(read_text(destination_ / "log"), "started\n");
}

TEST_F(FileSync, SecondCopyFindsWhatChanged) {
  write_text(at_source("removed"), "x");
  write_text(at_source("changed"), "before");
  FileSender sender = make_sender();
  must(sender.first_copy());
  fs::remove(at_source("removed"));
  write_text(at_source("new"), "new");
  write_text(at_source("changed"), "after!");
  std::ofstream(source_ / "log", std::ios::app) << "more\n";

  must(sender.last_copy({}));

  EXPECT_FALSE(fs::exists(at_destination("removed")));
  EXPECT_EQ(read_text(at_destination("new")), "new");
  EXPECT_EQ(read_text(at_destination("changed")), "after!");
  EXPECT_EQ(finishes_, 1);
  EXPECT_EQ(read_text(destination_ / "log"), "started\nmore\n");
}

// rsync alone takes a file of the same size and time for the same.
TEST_F(FileSync, SecondCopyFindsAChangeThatKeptSizeAndTime) {
  write_text(at_source("file"), "one");
  FileSender sender = make_sender();
  must(sender.first_copy());
  struct stat before;
  ASSERT_EQ(::stat(at_source("file").c_str(), &before), 0);
  write_text(at_source("file"), "two");
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, at_source("file").c_str(), times, 0), 0);

  must(sender.last_copy({}));

  EXPECT_EQ(read_text(at_destination("file")), "two");
}

TEST_F(FileSync, SecondCopyOfNothingStartsNothing) {
  write_text(at_source("file"), "one");
  struct stat status;
  ASSERT_EQ(::stat(at_source("file").c_str(), &status), 0);
  // File systems may stamp finer than this clock ticks.
  while (file_time_now() <=
         std::chrono::seconds(status.st_ctim.tv_sec) + Nanoseconds(status.st_ctim.tv_nsec))
    continue;
  FileSender sender = make_sender();
  must(sender.first_copy());
  int connections = connections_;
  EXPECT_EQ(must(sender.last_copy({})), 0u);
  EXPECT_EQ(connections_, connections);
}

TEST_F(FileSync, AnErrorNamesTheCause) {
  fs::remove_all(destination_ / "upper");
  write_text(destination_ / "upper", "not a directory");
  auto copied = make_sender().first_copy();
  ASSERT_FALSE(copied);
  EXPECT_NE(copied.error().to_string().find("files of upper: rsync failed"), std::string::npos)
      << copied.error().to_string();
}

}  // namespace
}  // namespace martlet::migrate
