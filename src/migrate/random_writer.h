// Changes files at random, by every way there is, for tests: few names, so that things collide.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/fd.h"
#include "migrate/file_node.h"

namespace martlet::migrate {

class RandomWriter {
 public:
  RandomWriter(std::string root, uint64_t seed) : root_(std::move(root)), random_(seed) {}

  // Most single changes fail, because their names do not exist or do: that is as it should be.
  void step() {
    static const std::vector<void (RandomWriter::*)()> kSteps = {
        &RandomWriter::create,       &RandomWriter::create,
        &RandomWriter::create_large, &RandomWriter::overwrite,
        &RandomWriter::overwrite,    &RandomWriter::append,
        &RandomWriter::truncate,     &RandomWriter::make_sparse,
        &RandomWriter::punch,        &RandomWriter::rename,
        &RandomWriter::rename,       &RandomWriter::exchange,
        &RandomWriter::replace,      &RandomWriter::unlink,
        &RandomWriter::remove_tree,  &RandomWriter::make_tree,
        &RandomWriter::mkdir,        &RandomWriter::mkdir,
        &RandomWriter::symlink,      &RandomWriter::link,
        &RandomWriter::link,         &RandomWriter::make_fifo,
        &RandomWriter::chmod,        &RandomWriter::chown,
        &RandomWriter::set_times,    &RandomWriter::set_xattr,
        &RandomWriter::remove_xattr, &RandomWriter::write_to_open_file};
    (this->*kSteps[below(kSteps.size())])();
  }

 private:
  uint64_t below(uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_);
  }

  std::string path() {
    std::string path = root_;
    for (uint64_t depth = 1 + below(4); depth > 0; --depth)
      path += std::string("/") + static_cast<char>('a' + below(6));
    return path;
  }
  std::string bytes(uint64_t size) {
    std::string text(size, static_cast<char>(below(256)));
    for (size_t i = 0; i + 8 < size; i += 512) {
      uint64_t value = random_();
      text.replace(i, sizeof value, reinterpret_cast<const char*>(&value), sizeof value);
    }
    return text;
  }
  void write_at(int fd, uint64_t offset, const std::string& text) {
    (void)!::pwrite(fd, text.data(), text.size(), static_cast<off_t>(offset));
  }
  Fd open(int flags) {
    return Fd(::open(path().c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  }
  uint64_t size_of(const Fd& file) {
    struct stat status;
    return ::fstat(file.get(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  }

  void create() {
    if (Fd file = open(O_WRONLY | O_CREAT | O_EXCL); file.valid())
      write_at(file.get(), 0, bytes(below(100'000)));
  }
  void create_large() {
    if (Fd file = open(O_WRONLY | O_CREAT); file.valid())
      write_at(file.get(), 0, bytes(200'000 + below(1'000'000)));
  }
  void overwrite() {
    Fd file = open(O_WRONLY);
    if (file.valid()) write_at(file.get(), below(size_of(file) + 1), bytes(below(9000)));
    if (file.valid() && below(2) == 0) held_ = std::move(file);
  }
  void append() {
    if (Fd file = open(O_WRONLY | O_APPEND); file.valid())
      write_at(file.get(), size_of(file), bytes(below(9000)));
  }
  void truncate() { (void)!::truncate(path().c_str(), static_cast<off_t>(below(400'000))); }
  void make_sparse() {
    if (Fd file = open(O_WRONLY | O_CREAT); file.valid())
      write_at(file.get(), below(8) << 20, bytes(below(5000)));
  }
  void punch() {
    if (Fd file = open(O_WRONLY); file.valid())
      (void)!::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(below(300'000)),
                         static_cast<off_t>(1 + below(300'000)));
  }
  void rename() { (void)!::rename(path().c_str(), path().c_str()); }
  void exchange() {
    (void)!::renameat2(AT_FDCWD, path().c_str(), AT_FDCWD, path().c_str(), RENAME_EXCHANGE);
  }
  void replace() {
    std::string draft = root_ + "/draft";
    Fd file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    write_at(file.get(), 0, bytes(below(50'000)));
    if (::rename(draft.c_str(), path().c_str()) != 0) (void)!::unlink(draft.c_str());
  }
  void unlink() { (void)!::unlink(path().c_str()); }
  void remove_tree() {
    Fd root(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (below(3) == 0) (void)remove_entry(root, path().substr(root_.size() + 1));
  }
  void make_tree() {
    std::error_code ignored;
    std::string top = path();
    if (below(3) != 0 || !std::filesystem::create_directory(top, ignored)) return;
    for (char name = 'a'; name < 'f'; ++name) {
      std::filesystem::create_directory(top + "/" + name, ignored);
      Fd file(::open((top + "/" + name + "/a").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      write_at(file.get(), 0, bytes(below(3000)));
    }
  }
  void mkdir() { (void)!::mkdir(path().c_str(), 0755); }
  void symlink() { (void)!::symlink(path().c_str(), path().c_str()); }
  void link() { (void)!::link(path().c_str(), path().c_str()); }
  // Under a name that no regular file has: rsync would wait for its other end.
  void make_fifo() { (void)!::mkfifo((path() + "/fifo").c_str(), 0600); }
  void chmod() {
    (void)!::fchmodat(AT_FDCWD, path().c_str(), below(010000) | 0700, AT_SYMLINK_NOFOLLOW);
  }
  void chown() {
    (void)!::lchown(path().c_str(), static_cast<uid_t>(below(3)), static_cast<gid_t>(below(3)));
  }
  void set_times() {
    const timespec times[] = {{},
                              {.tv_sec = static_cast<time_t>(below(2'000'000'000)),
                               .tv_nsec = static_cast<long>(below(1'000'000'000))}};
    (void)!::utimensat(AT_FDCWD, path().c_str(), times, AT_SYMLINK_NOFOLLOW);
  }
  std::string xattr() { return fmt::format("user.{}", below(4)); }
  void set_xattr() {
    std::string value = bytes(below(300));
    (void)!::lsetxattr(path().c_str(), xattr().c_str(), value.data(), value.size(), 0);
  }
  void remove_xattr() { (void)!::lremovexattr(path().c_str(), xattr().c_str()); }
  // Its name may have gone, or another may have come.
  void write_to_open_file() {
    if (!held_.valid()) return;
    write_at(held_.get(), below(size_of(held_) + 1), bytes(below(5000)));
    (void)!::fchmod(held_.get(), 0600 | (below(8) << 3));
  }

  const std::string root_;
  std::mt19937_64 random_;
  Fd held_;
};

}  // namespace martlet::migrate
