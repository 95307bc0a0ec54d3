#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/memory/content_reader.h"
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

Result<void> set_owner_and_mode(const Place& place, const image::TmpfsEntry& entry) {
  int directory = place.directory.get();
  const char* name = place.name.c_str();
  if (::fchownat(directory, name, entry.uid(), entry.gid(), AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("set the owner");
  if (!S_ISLNK(entry.mode()) && ::fchmodat(directory, name, entry.mode() & 07777, 0) != 0)
    return fail_errno("set the permissions");
  return {};
}

Result<void> set_times_of(const Place& place, const image::TmpfsEntry& entry) {
  timespec times[] = {to_timespec(entry.access_time_ns()), to_timespec(entry.change_time_ns())};
  if (::utimensat(place.directory.get(), place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("set the times");
  return {};
}

// A write takes capabilities from its file, and what is made in a directory its default ACL.
Result<void> finish_entry(const Place& place, const image::TmpfsEntry& entry) {
  TRY(write_attributes(place.directory.get(), place.name, entry));
  return set_times_of(place, entry);
}

Result<void> make_link(const Fd& mount, const Place& place, const std::string& first_name) {
  Place first = TRY(locate(mount, first_name));
  if (::linkat(first.directory.get(), first.name.c_str(), place.directory.get(), place.name.c_str(),
               0) != 0)
    return fail_errno("link to " + first_name);
  return {};
}

Result<uint64_t> room_behind(const Fd& fd, uint64_t at) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("stat");
  auto size = static_cast<uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || at > size)
    return fail(Code::kBadImage, "content outside of its file");
  return size - at;
}

Result<void> write_piece(const Fd& fd, uint64_t at, std::span<const std::byte> bytes) {
  if (::lseek(fd.get(), static_cast<off_t>(at), SEEK_SET) < 0) return fail_errno("seek");
  return write_full(fd.get(), bytes);
}

Result<void> write_content(const Fd& mount, const image::Tmpfs& head,
                           std::span<const std::byte> bytes) {
  Fd fd = TRY(open_for_content(TRY(locate(mount, head.content_path()))));
  if (bytes.size() > TRY(room_behind(fd, head.content_offset())))
    return fail(Code::kBadImage, "content outside of its file");
  return write_piece(fd, head.content_offset(), bytes);
}

// Pages are whole, whatever the size of the file.
Result<void> write_pages(const Fd& fd, uint64_t at, std::span<const std::byte> pages) {
  uint64_t room = TRY(room_behind(fd, at));
  return write_piece(fd, at, pages.first(std::min<uint64_t>(room, pages.size())));
}

Result<void> punch(const Fd& fd, uint64_t at, uint64_t size) {
  if (at > kMaxFileBytes || size > kMaxFileBytes)
    return fail(Code::kBadImage, "hole of an absurd size");
  if (::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                  static_cast<off_t>(size)) != 0)
    return fail_errno("punch a hole");
  return {};
}

Result<void> resize(const Fd& fd, uint64_t size) {
  if (size > kMaxFileBytes) return fail(Code::kBadImage, "file of an absurd size");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return fail_errno("set the size");
  return {};
}

Result<void> give_name(const Fd& file, const Place& place) {
  if (::linkat(file.get(), "", place.directory.get(), place.name.c_str(), AT_EMPTY_PATH) != 0)
    return fail_errno("name what was sent ahead");
  return {};
}

// What the environment has made stays the file that it is.
Result<void> replace_content(Fd& file, const Place& place) {
  Fd there = TRY(open_for_content(place));
  auto reader = TRY(ContentReader::open(file.get()));
  TRY(resize(there, 0));
  TRY(resize(there, reader.size()));
  for (const sys::Range& range : TRY(reader.data()))
    TRY(reader.read(range, [&](uint64_t at, std::span<const std::byte> pages) {
      return write_pages(there, at, pages);
    }));
  file = std::move(there);
  return {};
}

bool is_same_directory(const Fd& a, const Fd& b) {
  struct stat first{}, second{};
  return ::fstat(a.get(), &first) == 0 && ::fstat(b.get(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Result<void> set_size(const Place& place, uint64_t size) {
  Fd fd = TRY(open_for_content(place));
  TRY(resize(fd, 0));
  return resize(fd, size);
}

bool is_of_rounds(const image::Tmpfs& tmpfs) {
  return tmpfs.staged() != 0 || tmpfs.mount().empty();
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

Result<Fd> TmpfsRestore::open_own(const Point& point) const {
  const MountView view = TRY(context_.mounts().view(point.first));
  Fd mount = TRY(open_bare_mount(view, point.second));
  TRY(check_is_own_tmpfs(mount));
  return mount;
}

// Since the rounds another one may have been mounted there. A file gets its name in the mount in
// which it was made.
Result<const Fd*> TmpfsRestore::open_mount(const Point& point) {
  if (auto known = mounts_.find(point); known != mounts_.end()) return &known->second;
  Fd mount = TRY(open_own(point));
  if (auto staging = staging_mounts_.find(point);
      staging != staging_mounts_.end() && is_same_directory(mount, staging->second))
    mount = std::move(staging->second);
  staging_mounts_.erase(point);
  return &mounts_.emplace(point, std::move(mount)).first->second;
}

Result<Fd*> TmpfsRestore::staged(uint32_t number) {
  auto file = staged_.find(number);
  if (file == staged_.end()) return fail(Code::kBadImage, "nothing was sent of it ahead");
  return &file->second;
}

Result<void> TmpfsRestore::stage_file(const image::Tmpfs& tmpfs) {
  auto known = staged_.find(tmpfs.staged());
  if (known != staged_.end()) return resize(known->second, tmpfs.staged_size());
  const Point point{0, tmpfs.mount()};
  auto mount = staging_mounts_.find(point);
  if (mount == staging_mounts_.end())
    mount = staging_mounts_.emplace(point, TRY(open_own(point))).first;
  Fd file(::openat(mount->second.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno("create");
  TRY(resize(file, tmpfs.staged_size()));
  staged_.emplace(tmpfs.staged(), std::move(file));
  return {};
}

Result<void> TmpfsRestore::stage(const image::Tmpfs& tmpfs, std::span<const std::byte> piece) {
  if (tmpfs.mount().empty()) {
    std::erase_if(staged_, [&](const auto& file) {
      return std::ranges::find(tmpfs.kept(), file.first) == tmpfs.kept().end();
    });
    return {};
  }
  if (tmpfs.hole() != 0)
    return punch(*TRY(staged(tmpfs.staged())), tmpfs.content_offset(), tmpfs.hole());
  if (!piece.empty())
    return write_pages(*TRY(staged(tmpfs.staged())), tmpfs.content_offset(), piece);
  return stage_file(tmpfs);
}

Result<void> TmpfsRestore::stage(const image::Record& record) {
  auto tmpfs = TRY(image::parse_as<image::Tmpfs>(record));
  if (!is_of_rounds(tmpfs)) return fail(Code::kBadImage, "names in a tmpfs before the tree");
  return in_context(stage(tmpfs, record.body), "tmpfs " + tmpfs.mount());
}

Result<void> TmpfsRestore::apply_entry(const Fd& mount, const image::TmpfsEntry& entry) {
  Place place = TRY(locate(mount, entry.path()));
  bool there = TRY(is_there(place, entry));
  if (!entry.link_to().empty()) return make_link(mount, place, entry.link_to());
  if (entry.staged() != 0 && S_ISREG(entry.mode())) {
    Fd& file = *TRY(staged(entry.staged()));
    TRY(there ? replace_content(file, place) : give_name(file, place));
  } else {
    if (!there) TRY(make(place, entry));
    if (S_ISREG(entry.mode())) TRY(set_size(place, entry.size()));
  }
  TRY(set_owner_and_mode(place, entry));
  last_.push_back({&mount, entry});
  return {};
}

Result<void> TmpfsRestore::apply(const image::Record& record) {
  auto tmpfs = TRY(image::parse_as<image::Tmpfs>(record));
  if (is_of_rounds(tmpfs)) return in_context(stage(tmpfs, record.body), "tmpfs " + tmpfs.mount());
  auto what = [&](const std::string& path) { return "tmpfs " + tmpfs.mount() + ": " + path; };
  const Fd* mount =
      TRY_IN(open_mount({tmpfs.mount_namespace(), tmpfs.mount()}), "tmpfs " + tmpfs.mount());
  for (const image::TmpfsEntry& entry : tmpfs.entries())
    TRY_IN(apply_entry(*mount, entry), what(entry.path()));
  if (tmpfs.content_path().empty()) return {};
  return in_context(write_content(*mount, tmpfs, record.body), what(tmpfs.content_path()));
}

Result<void> TmpfsRestore::set_times() const {
  for (const auto& [mount, entry] : last_)
    if (S_ISREG(entry.mode()))
      TRY_IN(set_times_of(TRY_IN(locate(*mount, entry.path()), entry.path()), entry), entry.path());
  return {};
}

Result<void> TmpfsRestore::finish() {
  for (const auto& [mount, entry] : last_)
    TRY_IN(finish_entry(TRY_IN(locate(*mount, entry.path()), entry.path()), entry), entry.path());
  last_.clear();
  staged_.clear();
  return {};
}

}  // namespace martlet::engine
