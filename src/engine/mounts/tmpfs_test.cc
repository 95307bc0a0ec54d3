#include "engine/mounts/tmpfs.h"

#include <linux/capability.h>
#include <linux/xattr.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "base/test_util.h"
#include "engine/mounts/mount_table.h"
#include "engine/mounts/tmpfs_rounds.h"
#include "engine/test_util.h"

namespace martlet::engine {
namespace {

namespace fs = std::filesystem;

Result<void> in_view_of(HostPid process, const std::function<Result<void>()>& work) {
  return TRY(MountView::of_process(process)).run(work);
}

TEST(MountTableTest, parses_and_unescapes) {
  auto mounts = parse_mounts(
      "36 35 98:7 /sub /a\\040b rw,noatime shared:1 master:2 - ext4 /dev/x rw\n"
      "37 35 0:40 / /run ro - tmpfs tmpfs rw\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].device, makedev(98, 7));
  EXPECT_EQ(mounts[0].root, "/sub");
  EXPECT_EQ(mounts[0].point, "/a b");
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_FALSE(mounts[0].read_only);
  EXPECT_EQ(mounts[1].type, "tmpfs");
  EXPECT_TRUE(mounts[1].read_only);
}

TEST(MountTableTest, reads_how_a_mount_behaves) {
  auto mounts = parse_mounts(
      "36 35 98:7 / /a ro,nosuid,noexec,relatime shared:3 master:21 - tmpfs my\\040name "
      "ro,size=4k\n"
      "37 36 98:7 / /b rw unbindable - tmpfs none rw\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].parent, 35u);
  EXPECT_EQ(mounts[0].attributes,
            static_cast<uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  EXPECT_EQ(mounts[0].shared_group, 3u);
  EXPECT_EQ(mounts[0].master_group, 21u);
  EXPECT_EQ(mounts[0].name, "my name");
  EXPECT_EQ(mounts[0].system, "ro,size=4k");
  EXPECT_EQ(mounts[1].attributes, static_cast<uint64_t>(MOUNT_ATTR_STRICTATIME));
  EXPECT_TRUE(mounts[1].unbindable);
}

TEST(MountTableTest, tells_what_is_below) {
  EXPECT_TRUE(is_at_or_below("/a/b", "/a"));
  EXPECT_TRUE(is_at_or_below("/a", "/"));
  EXPECT_FALSE(is_at_or_below("/ab", "/a"));
  EXPECT_EQ(rest_below("/a/b/c", "/a"), "b/c");
  EXPECT_EQ(rest_below("/a", "/a"), "");
  EXPECT_EQ(rest_below("/a", "/"), "a");
}

class TmpfsTest : public testing::Test {
 protected:
  bool mount_here() const {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("none", point_.path().c_str(), "tmpfs", 0, nullptr) == 0;
  }

  std::string at(const std::string& name) const { return point_ / name; }

  Result<void> capture(HostPid from) {
    CaptureContext context(sink_, from, {});
    return capture_tmpfs(context, {});
  }

  Result<void> apply(HostPid to) {
    ApplyContext context(to, {});
    TmpfsRestore restore(context);
    for (const StoredRecord& record : sink_.records) TRY(restore.apply(record.view()));
    return restore.finish();
  }

  static void write(const std::string& path, std::string_view text) { std::ofstream(path) << text; }

  MemorySink sink_;
  TemporaryDirectory point_;
};

struct stat stat_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

TEST_F(TmpfsTest, moves_files_of_every_type) {
  ChildInNamespaces source(CLONE_NEWNS, [&] {
    if (!mount_here()) return false;
    fs::create_directories(at("dir/deep"));
    write(at("dir/deep/file"), "content");
    fs::create_hard_link(at("dir/deep/file"), at("again"));
    fs::create_symlink("/no/where", at("link"));
    Fd sparse = *open_file(at("sparse"), O_CREAT | O_RDWR, 0600);
    bool made = ::ftruncate(sparse.get(), 1 << 24) == 0 &&
                ::pwrite(sparse.get(), "end", 3, 9'000'000) == 3 &&
                ::mkfifo(at("fifo").c_str(), 0604) == 0 &&
                ::mknod(at("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0 &&
                ::lsetxattr(at("again").c_str(), "trusted.martlet", "value", 5, 0) == 0 &&
                ::chown(at("dir").c_str(), 1000, 1001) == 0 &&
                ::chmod(at("dir").c_str(), 01751) == 0;
    timespec times[] = {{1000, 5}, {2000, 6}};
    return made && ::utimensat(AT_FDCWD, at("dir").c_str(), times, 0) == 0;
  });
  ASSERT_TRUE(source.ready());
  ASSERT_OK(capture(source.pid()));
  size_t content = 0;
  for (const StoredRecord& record : sink_.records) content += record.body.size();
  EXPECT_LT(content, 100'000u);  // holes stay out

  ChildInNamespaces target(CLONE_NEWNS, [&] { return mount_here(); });
  ASSERT_TRUE(target.ready());
  ASSERT_OK(apply(target.pid()));
  ASSERT_OK(in_view_of(target.pid(), [&]() -> Result<void> {
    EXPECT_EQ(*read_file(at("dir/deep/file")), "content");
    EXPECT_EQ(stat_of(at("again")).st_ino, stat_of(at("dir/deep/file")).st_ino);
    char value[5];
    EXPECT_EQ(::lgetxattr(at("again").c_str(), "trusted.martlet", value, 5), 5);
    EXPECT_EQ(fs::read_symlink(at("link")), "/no/where");
    EXPECT_EQ(stat_of(at("sparse")).st_size, 1 << 24);
    EXPECT_LT(stat_of(at("sparse")).st_blocks, 100);
    Fd sparse = *open_file(at("sparse"), O_RDONLY);
    char end[3];
    EXPECT_EQ(::pread(sparse.get(), end, 3, 9'000'000), 3);
    EXPECT_EQ(std::memcmp(end, "end", 3), 0);
    EXPECT_EQ(stat_of(at("fifo")).st_mode, static_cast<mode_t>(S_IFIFO | 0604));
    EXPECT_EQ(stat_of(at("null")).st_rdev, makedev(1, 3));
    struct stat directory = stat_of(at("dir"));
    EXPECT_EQ(directory.st_mode, static_cast<mode_t>(S_IFDIR | 01751));
    EXPECT_EQ(directory.st_uid, 1000u);
    EXPECT_EQ(directory.st_gid, 1001u);
    EXPECT_EQ(directory.st_mtim.tv_sec, 2000);
    EXPECT_EQ(directory.st_mtim.tv_nsec, 6);
    return {};
  }));
}

// Which a write to the file takes from it.
TEST_F(TmpfsTest, a_program_keeps_its_capabilities) {
  const vfs_cap_data rights{VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{1, 0}, {0, 0}}};
  ChildInNamespaces source(CLONE_NEWNS, [&] {
    if (!mount_here()) return false;
    write(at("program"), "content");
    return ::lsetxattr(at("program").c_str(), XATTR_NAME_CAPS, &rights, sizeof rights, 0) == 0;
  });
  ChildInNamespaces target(CLONE_NEWNS, [&] { return mount_here(); });
  ASSERT_TRUE(source.ready() && target.ready());
  ASSERT_OK(capture(source.pid()));
  ASSERT_OK(apply(target.pid()));
  ASSERT_OK(in_view_of(target.pid(), [&]() -> Result<void> {
    EXPECT_EQ(*read_file(at("program")), "content");
    vfs_cap_data now{};
    EXPECT_EQ(::lgetxattr(at("program").c_str(), XATTR_NAME_CAPS, &now, sizeof now),
              static_cast<ssize_t>(sizeof now));
    EXPECT_EQ(std::memcmp(&now, &rights, sizeof now), 0);
    return {};
  }));
}

// Rounds of a mount in which files change from one to the next, and the capture at their end.
class TmpfsRoundsTest : public TmpfsTest {
 protected:
  void SetUp() override {
    source_.emplace(CLONE_NEWNS, [&] { return mount_here(); });
    target_.emplace(CLONE_NEWNS, [&] { return mount_here(); });
    ASSERT_TRUE(source_->ready() && target_->ready());
    auto first = read_file("/proc/" + std::to_string(source_->pid().value) + "/mountinfo");
    ASSERT_OK(first);
    rounds_.emplace(source_->pid(), *first);
    context_.emplace(target_->pid(), std::vector<ExternalFile>{});
    restore_.emplace(*context_);
  }

  Result<void> in_source(const std::function<void()>& work) const {
    return in_view_of(source_->pid(), [&]() -> Result<void> {
      work();
      return {};
    });
  }

  void put(const std::string& name, size_t at, const std::string& text) const {
    Fd file = *open_file(this->at(name), O_CREAT | O_WRONLY, 0600);
    EXPECT_EQ(::pwrite(file.get(), text.data(), text.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(text.size()));
  }

  // The bytes that it has sent.
  uint64_t round() {
    sink_.records.clear();
    const auto bytes = rounds_->send(sink_);
    EXPECT_TRUE(bytes);
    for (const StoredRecord& record : sink_.records)
      EXPECT_TRUE(restore_->stage(record.view()).has_value());
    return *bytes;
  }

  Result<size_t> finish() {
    sink_.records.clear();
    CaptureContext context(sink_, source_->pid(), {});
    TRY(capture_tmpfs(context, {}, &*rounds_));
    size_t content = 0;
    for (const StoredRecord& record : sink_.records) {
      content += record.body.size();
      TRY(restore_->apply(record.view()));
    }
    TRY(restore_->finish());
    return content;
  }

  void expect_in_target(const std::function<void()>& work) const {
    ASSERT_OK(in_view_of(target_->pid(), [&]() -> Result<void> {
      work();
      return {};
    }));
  }

  static constexpr size_t kBytes = 200'000;
  std::optional<ChildInNamespaces> source_, target_;
  std::optional<TmpfsRounds> rounds_;
  std::optional<ApplyContext> context_;
  std::optional<TmpfsRestore> restore_;
};

TEST_F(TmpfsRoundsTest, the_capture_holds_what_has_changed) {
  ASSERT_OK(in_source([&] {
    put("same", 0, std::string(kBytes, 's'));
    put("moved", 0, std::string(kBytes, 'm'));
    put("gone", 0, std::string(kBytes, 'g'));
    put("cut", 0, std::string(kBytes, 'c'));
  }));
  EXPECT_GE(round(), 4 * kBytes);
  EXPECT_EQ(round(), 0u);
  ASSERT_OK(in_source([&] {
    fs::remove(at("gone"));
    put("new", 0, std::string(kBytes, 'n'));
    put("moved", 5000, "other");
  }));
  EXPECT_GE(round(), kBytes);
  ASSERT_OK(in_source([&] {
    fs::rename(at("moved"), at("elsewhere"));
    fs::create_hard_link(at("elsewhere"), at("again"));
    fs::resize_file(at("cut"), 5);
    fs::resize_file(at("cut"), kBytes + 1);
    put("same", 2, "S");
    put("small", 0, "text");
  }));
  auto content = finish();
  ASSERT_OK(content);
  EXPECT_LT(*content, kBytes / 2);
  expect_in_target([&] {
    std::string moved(kBytes, 'm'), same(kBytes, 's');
    moved.replace(5000, 5, "other");
    same[2] = 'S';
    EXPECT_EQ(*read_file(at("elsewhere")), moved);
    EXPECT_EQ(*read_file(at("same")), same);
    EXPECT_EQ(*read_file(at("new")), std::string(kBytes, 'n'));
    EXPECT_EQ(*read_file(at("small")), "text");
    EXPECT_EQ(*read_file(at("cut")), "ccccc" + std::string(kBytes - 4, '\0'));
    EXPECT_EQ(stat_of(at("again")).st_ino, stat_of(at("elsewhere")).st_ino);
    EXPECT_FALSE(fs::exists(at("gone")));
    EXPECT_FALSE(fs::exists(at("moved")));
  });
}

TEST_F(TmpfsRoundsTest, a_file_of_the_environment_stays_the_one_that_it_is) {
  ASSERT_OK(in_source([&] { put("file", 0, std::string(kBytes, 's')); }));
  round();
  ino_t inode = 0;
  expect_in_target([&] {
    put("file", 0, std::string(2 * kBytes, 'e'));
    inode = stat_of(at("file")).st_ino;
  });
  ASSERT_OK(in_source([&] { put("file", 7, "other"); }));
  ASSERT_OK(finish());
  expect_in_target([&] {
    EXPECT_EQ(*read_file(at("file")), "sssssssother" + std::string(kBytes - 12, 's'));
    EXPECT_EQ(stat_of(at("file")).st_ino, inode);
  });
}

TEST_F(TmpfsRoundsTest, what_has_no_name_in_the_end_leaves_nothing) {
  ASSERT_OK(in_source([&] { put("file", 0, std::string(kBytes, 's')); }));
  round();
  restore_.reset();
  expect_in_target([&] {
    EXPECT_TRUE(fs::is_empty(point_.path()));
    struct statvfs system{};
    EXPECT_EQ(::statvfs(point_.path().c_str(), &system), 0);
    EXPECT_EQ(system.f_bfree, system.f_blocks);
  });
}

TEST_F(TmpfsRoundsTest, a_mount_that_was_not_there_at_the_beginning_is_left_to_the_capture) {
  rounds_.emplace(source_->pid(), "");
  ASSERT_OK(in_source([&] { put("file", 0, std::string(kBytes, 's')); }));
  EXPECT_EQ(round(), 0u);
  EXPECT_GE(*finish(), kBytes);
}

TEST_F(TmpfsTest, sees_below_other_mounts_and_keeps_what_is_there) {
  auto cover = [&] { return ::mount("none", at("dir").c_str(), "tmpfs", 0, nullptr) == 0; };
  ChildInNamespaces source(CLONE_NEWNS, [&] {
    if (!mount_here() || !fs::create_directory(at("dir"))) return false;
    write(at("dir/below"), "covered");
    if (!cover()) return false;
    write(at("dir/above"), "covering");
    return true;
  });
  ASSERT_TRUE(source.ready());
  ASSERT_OK(capture(source.pid()));
  ChildInNamespaces target(CLONE_NEWNS, [&] {
    if (!mount_here() || !fs::create_directory(at("dir")) || !cover()) return false;
    write(at("made-by-environment"), "kept");
    return true;
  });
  ASSERT_TRUE(target.ready());
  ASSERT_OK(apply(target.pid()));
  ASSERT_OK(in_view_of(target.pid(), [&]() -> Result<void> {
    EXPECT_EQ(*read_file(at("dir/above")), "covering");
    EXPECT_EQ(*read_file(at("made-by-environment")), "kept");
    EXPECT_EQ(::umount2(at("dir").c_str(), MNT_DETACH), 0);
    EXPECT_EQ(*read_file(at("dir/below")), "covered");
    return {};
  }));
}

TEST_F(TmpfsTest, leaves_the_hosts_alone) {
  ChildInNamespaces source(CLONE_NEWNS, [] {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  });
  ASSERT_TRUE(source.ready());
  ASSERT_OK(capture(source.pid()));
  EXPECT_TRUE(sink_.records.empty());
}

TEST_F(TmpfsTest, refuses_records_that_lead_out) {
  ChildInNamespaces target(CLONE_NEWNS, [&] {
    if (!mount_here()) return false;
    fs::create_symlink("/tmp", at("out"));
    return true;
  });
  ASSERT_TRUE(target.ready());
  image::Tmpfs message;
  auto refused = [&] {
    sink_.records.clear();
    EXPECT_TRUE(image::put_message(sink_, image::RecordType::kTmpfs, message).has_value());
    return !apply(target.pid()).has_value();
  };
  message.set_mount(point_.path());
  message.add_entries()->set_mode(S_IFREG | 0600);
  for (const char* path : {"../escape", "out/escape", "..", "a/../../b", "/tmp/escape"}) {
    message.mutable_entries(0)->set_path(path);
    EXPECT_TRUE(refused()) << path;
  }
  message.set_mount("/tmp");
  message.mutable_entries(0)->set_path("file");
  EXPECT_TRUE(refused());
  message.set_mount(point_.path());
  message.clear_entries();
  message.set_content_path("out");
  EXPECT_TRUE(refused());
}

}  // namespace
}  // namespace martlet::engine
