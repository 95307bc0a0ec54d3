#include "sys/file_handle.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "sys/procfs.h"

namespace martlet::sys {

namespace {

// An overlay says ENOMEM of an object that another task is about to create.
constexpr int kCreatingAttempts = 100;
constexpr useconds_t kCreatingMicroseconds = 1000;
// AT_HANDLE_FID of Linux 6.5, newer than the C library's headers.
constexpr int kAtHandleFid = 0x200;

// A struct file_handle with room for the longest handle.
class RawHandle {
 public:
  RawHandle() { get()->handle_bytes = MAX_HANDLE_SZ; }
  explicit RawHandle(const FileHandle& handle) {
    get()->handle_type = handle.type;
    get()->handle_bytes = static_cast<unsigned>(handle.bytes.size());
    std::memcpy(get()->f_handle, handle.bytes.data(), handle.bytes.size());
  }
  ::file_handle* get() { return reinterpret_cast<::file_handle*>(bytes_.data()); }

 private:
  alignas(::file_handle) std::array<std::byte, sizeof(::file_handle) + MAX_HANDLE_SZ> bytes_{};
};

Result<FileHandle> make_handle(int directory, const std::string& path, int flags) {
  RawHandle raw;
  int mount_id = 0;
  if (::name_to_handle_at(directory, path.c_str(), raw.get(), &mount_id, AT_EMPTY_PATH | flags) !=
      0)
    return fail_errno("handle of " + path);
  return to_file_handle(*raw.get());
}

}  // namespace

FileHandle to_file_handle(const ::file_handle& raw) {
  return {.type = raw.handle_type,
          .bytes = std::string(reinterpret_cast<const char*>(raw.f_handle), raw.handle_bytes)};
}

Result<FileHandle> handle_of(int directory, const std::string& path) {
  return make_handle(directory, path, 0);
}

Result<FileHandle> naming_handle_of(int fd) {
  auto handle = make_handle(fd, "", kAtHandleFid);
  if (!handle && handle.error().error_number() == EINVAL) return make_handle(fd, "", 0);
  return handle;
}

Result<Fd> open_handle(int mount, const FileHandle& handle, int flags) {
  if (handle.empty() || handle.bytes.size() > MAX_HANDLE_SZ)
    return fail(Code::kInvalidArgument, "not a file handle");
  RawHandle raw(handle);
  int fd = -1;
  for (int attempt = 1; attempt <= kCreatingAttempts; ++attempt) {
    fd = ::open_by_handle_at(mount, raw.get(), flags | O_CLOEXEC);
    if (fd >= 0 || errno != ENOMEM) break;
    ::usleep(kCreatingMicroseconds);
  }
  if (fd < 0 && errno == ESTALE) return fail(Code::kGone, "the file was removed");
  if (fd < 0) return fail_errno("open_by_handle_at");
  return Fd(fd);
}

Result<std::string> path_of(const Fd& file) {
  return read_link("/proc/self/fd/" + std::to_string(file.get()));
}

}  // namespace martlet::sys
