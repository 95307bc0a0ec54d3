#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace martlet {

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<Fd> Fd::duplicate() const {
  int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail_errno("duplicate descriptor " + std::to_string(fd_));
  return Fd(copy);
}

Result<Fd> open_file(const std::string& path, int flags, mode_t mode) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return fail_errno("open " + path);
  return Fd(fd);
}

Result<size_t> read_full(int fd, std::span<std::byte> buffer) {
  size_t done = 0;
  while (done < buffer.size()) {
    ssize_t got = ::read(fd, buffer.data() + done, buffer.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Result<void> write_full(int fd, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t put = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno("write");
    done += static_cast<size_t>(put);
  }
  return {};
}

namespace {

Result<std::string> read_to_end(const Fd& fd, const std::string& name) {
  std::string content;  // as small as the file: some are kept by the thousand
  char part[16384];
  for (;;) {
    ssize_t got = ::read(fd.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read " + name);
    if (got == 0) return content;
    content.append(part, static_cast<size_t>(got));
  }
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  return read_to_end(TRY(open_file(path, O_RDONLY)), path);
}

Result<std::string> read_file(const Fd& directory, const std::string& name) {
  Fd fd(::openat(directory.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open " + name);
  return read_to_end(fd, name);
}

Result<void> write_file(const std::string& path, std::string_view content) {
  Fd fd = TRY(open_file(path, O_WRONLY | O_TRUNC));
  return in_context(write_full(fd.get(), std::as_bytes(std::span(content))), path);
}

namespace {

Result<void> sync_directory_of(const std::string& path) {
  auto directory = std::filesystem::path(path).parent_path().string();
  Fd fd = TRY(open_file(directory.empty() ? "." : directory, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return fail_errno("sync directory of " + path);
  return {};
}

}  // namespace

Result<void> replace_file(const std::string& path, std::string_view content, mode_t mode) {
  std::string draft = path + ".new";
  Fd fd = TRY(open_file(draft, O_WRONLY | O_CREAT | O_TRUNC, mode));
  auto replace = [&]() -> Result<void> {
    TRY_IN(write_full(fd.get(), std::as_bytes(std::span(content))), draft);
    if (::fsync(fd.get()) != 0) return fail_errno("sync " + draft);
    if (::rename(draft.c_str(), path.c_str()) != 0) return fail_errno("rename " + draft);
    return {};
  };
  auto replaced = replace();
  if (!replaced) {
    ::unlink(draft.c_str());
    return replaced;
  }
  return sync_directory_of(path);
}

}  // namespace martlet
