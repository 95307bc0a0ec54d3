#include <dirent.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include <filesystem>

#include "base/test_util.h"
#include "engine/files/kind_test_util.h"

namespace martlet::engine {
namespace {

class PathTest : public KindTest {
 protected:
  std::string path(const std::string& name) const { return directory_ / name; }

  Fd make(const std::string& name, int flags, std::string_view content) {
    Fd fd = *open_file(path(name), O_CREAT | O_RDWR, 0640);
    EXPECT_TRUE(write_full(fd.get(), std::as_bytes(std::span(content))).has_value());
    return *open_file(path(name), flags);
  }

  static std::string rest_of(int fd) {
    std::string text(100, '\0');
    ssize_t got = ::read(fd, text.data(), text.size());
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }

  static std::string link_of(int fd) {
    return *sys::read_link("/proc/self/fd/" + std::to_string(fd));
  }

  TemporaryDirectory directory_;
};

TEST_F(PathTest, keeps_offset_and_flags) {
  Fd fd = make("a", O_RDWR | O_APPEND | O_NONBLOCK, "0123456789");
  ASSERT_EQ(::lseek(fd.get(), 4, SEEK_SET), 4);
  int flags = ::fcntl(fd.get(), F_GETFL);
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(::fcntl(restored(fd.get()), F_GETFL), flags);
  EXPECT_EQ(rest_of(restored(fd.get())), "456789");
  EXPECT_EQ(link_of(restored(fd.get())), path("a"));
}

TEST_F(PathTest, follows_a_rename) {
  Fd fd = make("a", O_RDONLY, "renamed");
  std::filesystem::rename(path("a"), path("b"));
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(link_of(restored(fd.get())), path("b"));
}

TEST_F(PathTest, finds_the_other_name_of_a_file) {
  Fd fd = make("a", O_RDONLY, "linked");
  std::filesystem::create_hard_link(path("a"), path("b"));
  std::filesystem::remove(path("a"));
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(link_of(restored(fd.get())), path("b"));
}

TEST_F(PathTest, directories_and_devices) {
  Fd directory = *open_file(directory_.path(), O_RDONLY | O_DIRECTORY);
  Fd null = *open_file("/dev/null", O_RDWR);
  Fd zero = *open_file("/dev/zero", O_RDONLY);
  ASSERT_OK(capture({directory.get(), null.get(), zero.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(link_of(restored(directory.get())), directory_.path());
  struct stat status{};
  ASSERT_EQ(::fstat(restored(zero.get()), &status), 0);
  EXPECT_EQ(status.st_rdev, makedev(1, 5));
}

TEST_F(PathTest, paths_only) {
  make("a", O_RDONLY, "");
  std::filesystem::create_symlink("a", path("link"));
  Fd file = *open_file(path("a"), O_PATH);
  Fd link = *open_file(path("link"), O_PATH | O_NOFOLLOW);
  ASSERT_OK(capture({file.get(), link.get()}));
  ASSERT_OK(restore());
  EXPECT_TRUE(::fcntl(restored(file.get()), F_GETFL) & O_PATH);
  EXPECT_EQ(link_of(restored(link.get())), path("link"));
}

TEST_F(PathTest, files_of_proc_by_path) {
  std::string status = "/proc/" + std::to_string(::getpid()) + "/status";
  Fd fd = *open_file(status, O_RDONLY);
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(link_of(restored(fd.get())), status);
}

TEST_F(PathTest, unlinked_file_is_shared_by_its_descriptions) {
  Fd writer = make("gone", O_RDWR, "head");
  Fd reader = *open_file(path("gone"), O_RDONLY);
  ASSERT_EQ(::pwrite(writer.get(), "tail", 4, 5 << 20), 4);
  std::filesystem::remove(path("gone"));
  ASSERT_OK(capture({reader.get(), writer.get()}));
  size_t content = 0;
  for (const auto& record : sink_.records) content += record.body.size();
  EXPECT_LE(content, 2u * 4096);  // the hole is not in the image
  ASSERT_OK(restore());
  EXPECT_FALSE(std::filesystem::exists(path("gone")));
  int copy = restored(reader.get());
  EXPECT_EQ(rest_of(copy).substr(0, 4), "head");
  ASSERT_EQ(::pwrite(restored(writer.get()), "HEAD", 4, 0), 4);
  char bytes[4];
  ASSERT_EQ(::pread(copy, bytes, 4, 0), 4);
  EXPECT_EQ(std::string(bytes, 4), "HEAD");
  ASSERT_EQ(::pread(copy, bytes, 4, 5 << 20), 4);
  EXPECT_EQ(std::string(bytes, 4), "tail");
  struct stat status{};
  ASSERT_EQ(::fstat(copy, &status), 0);
  EXPECT_EQ(status.st_size, (5 << 20) + 4);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  EXPECT_EQ(status.st_nlink, 0u);
}

TEST_F(PathTest, nameless_file_and_unlinked_directory) {
  Fd file(::open(directory_.path().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(::write(file.get(), "data", 4), 4);
  std::filesystem::create_directory(path("d"));
  Fd directory = *open_file(path("d"), O_RDONLY | O_DIRECTORY);
  std::filesystem::remove(path("d"));
  ASSERT_OK(capture({file.get(), directory.get()}));
  ASSERT_OK(restore());
  char bytes[4];
  ASSERT_EQ(::pread(restored(file.get()), bytes, 4, 0), 4);
  EXPECT_EQ(std::string(bytes, 4), "data");
  EXPECT_TRUE(link_of(restored(directory.get())).ends_with("(deleted)"));
}

TEST_F(PathTest, replaced_file_keeps_its_old_content) {
  Fd fd = make("a", O_RDONLY, "old");
  make("new", O_RDONLY, "new");
  std::filesystem::rename(path("new"), path("a"));
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(rest_of(restored(fd.get())), "old");
}

TEST_F(PathTest, external_file_by_name) {
  Fd log = make("log", O_WRONLY | O_APPEND, "");
  make("log-there", O_RDONLY, "");
  set_external_files({{"log", path("log")}}, {{"log", path("log-there")}});
  ASSERT_OK(capture({log.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(link_of(restored(log.get())), path("log-there"));
}

TEST_F(PathTest, keeps_locks) {
  Fd whole = make("whole", O_RDWR, "");
  Fd range = make("range", O_RDWR, "");
  ASSERT_EQ(::flock(whole.get(), LOCK_EX), 0);
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_start = 10;
  lock.l_len = 5;
  ASSERT_EQ(::fcntl(range.get(), F_OFD_SETLK, &lock), 0);
  ASSERT_OK(capture({whole.get(), range.get()}));
  whole.reset();
  range.reset();
  ASSERT_OK(restore());
  Fd other = *open_file(path("whole"), O_RDWR);
  EXPECT_NE(::flock(other.get(), LOCK_SH | LOCK_NB), 0);
  Fd stranger = *open_file(path("range"), O_RDWR);
  lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10, .l_pid = 0};
  EXPECT_EQ(::fcntl(stranger.get(), F_OFD_SETLK, &lock), 0);
  lock.l_start = 14;
  EXPECT_NE(::fcntl(stranger.get(), F_OFD_SETLK, &lock), 0);
}

TEST_F(PathTest, names_what_is_missing_or_different) {
  Fd missing = make("missing", O_RDONLY, "");
  ASSERT_OK(capture({missing.get()}));
  std::filesystem::remove(path("missing"));
  auto gone = restore();
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code(), Code::kNotFound);
  EXPECT_NE(gone.error().to_string().find(path("missing")), std::string::npos);
  std::filesystem::create_directory(path("missing"));
  auto different = restore();
  ASSERT_FALSE(different.has_value());
  EXPECT_EQ(different.error().code(), Code::kUnsupported);
}

TEST_F(PathTest, refuses_content_outside_of_the_file) {
  Fd fd = make("a", O_RDONLY, "old");
  std::filesystem::remove(path("a"));
  ASSERT_OK(capture({fd.get()}));
  ASSERT_EQ(sink_.records.size(), 1u);
  auto content = *image::parse_as<image::FileContent>(sink_.records[0].view());
  content.set_offset(1);
  std::string head = content.SerializeAsString();
  auto bytes = std::as_bytes(std::span(head));
  sink_.records[0].head.assign(bytes.begin(), bytes.end());
  auto outcome = restore();
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), Code::kBadImage);
}

}  // namespace
}  // namespace martlet::engine
