#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/mounts/attributes.h"
#include "engine/mounts/bare_mount.h"
#include "engine/mounts/mount_table.h"
#include "engine/mounts/tmpfs.h"

namespace martlet::engine {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 46;

timespec to_timespec(int64_t nanoseconds) {
  int64_t rest = nanoseconds % kNanosecondsPerSecond;
  if (rest < 0) rest += kNanosecondsPerSecond;
  return {(nanoseconds - rest) / kNanosecondsPerSecond, rest};
}

// A name in an open directory. The mount's root is "." in itself.
struct Place {
  Fd directory;
  std::string name;
};

Result<Place> locate(const Fd& mount, const std::string& path) {
  if (path.empty()) return Place{TRY(open_directory(mount, "")), "."};
  std::string name = name_of(path);
  if (name.empty() || name == "." || name == "..")
    return fail(Code::kBadImage, "file of an impossible name");
  return Place{TRY(open_directory(mount, parent_of(path))), name};
}

// What the environment has made already is left as it is.
Result<bool> is_there(const Place& place, const image::TmpfsEntry& entry) {
  struct stat status{};
  if (::fstatat(place.directory.get(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return fail_errno("stat");
  }
  bool same = entry.link_to().empty() && (status.st_mode & S_IFMT) == (entry.mode() & S_IFMT) &&
              !S_ISLNK(status.st_mode) && status.st_rdev == entry.rdev();
  if (same) return true;
  int flags = S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0;
  if (::unlinkat(place.directory.get(), place.name.c_str(), flags) != 0)
    return fail_errno("remove what is there");
  return false;
}

Result<void> make(const Place& place, const image::TmpfsEntry& entry) {
  int directory = place.directory.get();
  const char* name = place.name.c_str();
  int failed = 0;
  if (S_ISDIR(entry.mode()))
    failed = ::mkdirat(directory, name, 0700);
  else if (S_ISLNK(entry.mode()))
    failed = ::symlinkat(entry.target().c_str(), directory, name);
  else
    failed = ::mknodat(directory, name, (entry.mode() & S_IFMT) | 0600, entry.rdev());
  if (failed != 0) return fail_errno("create");
  return {};
}

Result<Fd> open_for_content(const Place& place) {
  Fd fd(::openat(place.directory.get(), place.name.c_str(),
                 O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open");
  return fd;
}

Result<void> set_size(const Place& place, uint64_t size) {
  if (size > kMaxFileBytes) return fail(Code::kBadImage, "file of an absurd size");
  Fd fd = TRY(open_for_content(place));
  if (::ftruncate(fd.get(), 0) != 0 || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno("set the size");
  return {};
}

Result<void> set_owner_and_mode(const Place& place, const image::TmpfsEntry& entry) {
  int directory = place.directory.get();
  const char* name = place.name.c_str();
  if (::fchownat(directory, name, entry.uid(), entry.gid(), AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("set the owner");
  if (!S_ISLNK(entry.mode()) && ::fchmodat(directory, name, entry.mode() & 07777, 0) != 0)
    return fail_errno("set the permissions");
  return {};
}

Result<void> make_link(const Fd& mount, const Place& place, const std::string& first_name) {
  Place first = TRY(locate(mount, first_name));
  if (::linkat(first.directory.get(), first.name.c_str(), place.directory.get(), place.name.c_str(),
               0) != 0)
    return fail_errno("link to " + first_name);
  return {};
}

Result<void> write_content(const Fd& mount, const image::Tmpfs& head,
                           std::span<const std::byte> bytes) {
  Fd fd = TRY(open_for_content(TRY(locate(mount, head.content_path()))));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("stat");
  auto size = static_cast<uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || head.content_offset() > size ||
      bytes.size() > size - head.content_offset())
    return fail(Code::kBadImage, "content outside of its file");
  if (::lseek(fd.get(), static_cast<off_t>(head.content_offset()), SEEK_SET) < 0)
    return fail_errno("seek");
  return write_full(fd.get(), bytes);
}

// An image must not reach a file system that is not the container's own memory.
Result<void> check_is_own_tmpfs(const Fd& mount) {
  struct statfs type{};
  struct stat status{};
  if (::fstatfs(mount.get(), &type) != 0 || ::fstat(mount.get(), &status) != 0)
    return fail_errno("stat");
  auto ours = TRY(read_mounts(HostPid(::getpid())));
  bool shared = std::ranges::find(ours, status.st_dev, &Mount::device) != ours.end();
  if (type.f_type != TMPFS_MAGIC || shared)
    return fail(Code::kNotFound, "the container has no tmpfs of its own there");
  return {};
}

}  // namespace

Result<const Fd*> TmpfsRestore::open_mount(const std::string& point) {
  if (auto known = mounts_.find(point); known != mounts_.end()) return &known->second;
  Fd mount = TRY(open_bare_mount(context_.root(), point));
  TRY(check_is_own_tmpfs(mount));
  return &mounts_.emplace(point, std::move(mount)).first->second;
}

Result<void> TmpfsRestore::apply_entry(const Fd& mount, const image::TmpfsEntry& entry) {
  Place place = TRY(locate(mount, entry.path()));
  bool there = TRY(is_there(place, entry));
  if (!entry.link_to().empty()) return make_link(mount, place, entry.link_to());
  if (!there) TRY(make(place, entry));
  if (S_ISREG(entry.mode())) TRY(set_size(place, entry.size()));
  TRY(set_owner_and_mode(place, entry));
  TRY(write_attributes(place.directory.get(), place.name, entry));
  times_.push_back({&mount, entry.path(), entry.access_time_ns(), entry.change_time_ns()});
  return {};
}

Result<void> TmpfsRestore::apply(const image::Record& record) {
  auto tmpfs = TRY(image::parse_as<image::Tmpfs>(record));
  auto what = [&](const std::string& path) { return "tmpfs " + tmpfs.mount() + ": " + path; };
  const Fd* mount = TRY_IN(open_mount(tmpfs.mount()), "tmpfs " + tmpfs.mount());
  for (const image::TmpfsEntry& entry : tmpfs.entries())
    TRY_IN(apply_entry(*mount, entry), what(entry.path()));
  if (tmpfs.content_path().empty()) return {};
  return in_context(write_content(*mount, tmpfs, record.body), what(tmpfs.content_path()));
}

Result<void> TmpfsRestore::finish() {
  for (const Times& times : times_) {
    Place place = TRY_IN(locate(*times.mount, times.path), times.path);
    timespec both[] = {to_timespec(times.access_ns), to_timespec(times.change_ns)};
    if (::utimensat(place.directory.get(), place.name.c_str(), both, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("set the times of " + times.path);
  }
  times_.clear();
  return {};
}

}  // namespace martlet::engine
