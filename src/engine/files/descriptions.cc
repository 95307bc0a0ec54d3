#include "engine/files/descriptions.h"

#include <fcntl.h>

#include <algorithm>

namespace martlet::engine {

Result<Fd> reopen(int fd, int flags) {
  return open_file("/proc/self/fd/" + std::to_string(fd), flags);
}

Result<void> set_status_flags(int fd, int flags) {
  int now = ::fcntl(fd, F_GETFL);
  if (now < 0) return fail_errno("read status flags");
  if (((now ^ flags) & kStatusFlags) == 0) return {};
  if (::fcntl(fd, F_SETFL, flags & kStatusFlags) != 0) return fail_errno("set status flags");
  return {};
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool is_first_of_its_file(CaptureContext& context, const OpenFile& file) {
  const auto& files = context.files();
  auto first = std::ranges::find_if(
      files, [&](const OpenFile& other) { return same_file(other.status, file.status); });
  return first == files.end() || first->id == file.id;
}

}  // namespace martlet::engine
