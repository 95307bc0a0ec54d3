// Ownership of a file descriptor, and the handful of whole-buffer transfers everybody needs.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"

namespace martlet {

// Owns one descriptor and closes it once. Move-only; a moved-from Fd is empty.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

  // A second descriptor (close-on-exec) of the same open file description.
  Result<Fd> duplicate() const;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added; the error names the path.
Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0);

// Reads until the buffer is full or the end of file; returns the bytes read.
Result<size_t> read_full(int fd, std::span<std::byte> buffer);
// Writes everything or fails.
Result<void> write_full(int fd, std::span<const std::byte> bytes);

// The whole content of a (small) file, such as one of /proc.
Result<std::string> read_file(const std::string& path);
// Of a file in an open directory.
Result<std::string> read_file(const Fd& directory, const std::string& name);
// Replaces the content of an existing file or control file in one write.
Result<void> write_file(const std::string& path, std::string_view content);
// Writes a new file beside `path`, syncs it and renames it into place, so that after a power cut
// either the old or the new content is there.
Result<void> replace_file(const std::string& path, std::string_view content, mode_t mode);

}  // namespace martlet
