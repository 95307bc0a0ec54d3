#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <set>

#include "engine/mounts/attributes.h"
#include "engine/mounts/bare_mount.h"
#include "engine/mounts/mount_table.h"
#include "engine/mounts/tmpfs.h"

namespace martlet::engine {
namespace {

constexpr size_t kBatchBytes = 256u << 10;
constexpr size_t kPieceBytes = 1u << 20;
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

int64_t to_nanoseconds(const timespec& time) {
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

Result<std::string> read_target(int directory, const std::string& name, size_t size) {
  std::string target(size + 1, '\0');
  ssize_t got = ::readlinkat(directory, name.c_str(), target.data(), target.size());
  if (got < 0) return fail_errno("read link " + name);
  target.resize(static_cast<size_t>(got));
  return target;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<std::vector<std::string>> list_names(const Fd& directory) {
  Fd copy = TRY(directory.duplicate());
  std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(copy.get()));
  if (!stream) return fail_errno("list a directory");
  copy.release();  // the stream closes it
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  return names;
}

// Walks one mount. Entries are gathered into records; the contents of the files among them follow.
class TmpfsReader {
 public:
  TmpfsReader(image::Sink& sink, const std::string& point, const Fd& mount)
      : sink_(sink), mount_(mount) {
    batch_.set_mount(point);
  }

  Result<void> read() {
    Fd root = TRY(open_directory(mount_, ""));
    TRY(add(root, ".", ""));
    TRY(walk(root, ""));
    return flush();
  }

 private:
  Result<void> walk(const Fd& directory, const std::string& path) {
    for (const std::string& name : TRY(list_names(directory)))
      TRY_IN(visit(directory, name, join(path, name)), join(path, name));
    return {};
  }

  Result<void> visit(const Fd& directory, const std::string& name, const std::string& path) {
    mode_t mode = TRY(add(directory, name, path));
    if (batch_.ByteSizeLong() > kBatchBytes) TRY(flush());
    if (!S_ISDIR(mode)) return {};
    Fd child = TRY(open_directory(mount_, path));
    return walk(child, path);
  }

  // Adds the entry of one name; returns its st_mode.
  Result<mode_t> add(const Fd& directory, const std::string& name, const std::string& path) {
    struct stat status{};
    if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("stat");
    image::TmpfsEntry& entry = *batch_.add_entries();
    entry.set_path(path);
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      auto [first, is_new] = first_names_.emplace(status.st_ino, path);
      if (!is_new) {
        entry.set_link_to(first->second);
        return status.st_mode;
      }
    }
    fill(status, entry);
    if (S_ISLNK(status.st_mode))
      entry.set_target(
          TRY(read_target(directory.get(), name, static_cast<size_t>(status.st_size))));
    if (S_ISREG(status.st_mode)) files_.push_back({path, status.st_size});
    TRY(read_attributes(directory.get(), name, entry));
    return status.st_mode;
  }

  static void fill(const struct stat& status, image::TmpfsEntry& entry) {
    entry.set_mode(status.st_mode);
    entry.set_uid(status.st_uid);
    entry.set_gid(status.st_gid);
    if (S_ISREG(status.st_mode)) entry.set_size(static_cast<uint64_t>(status.st_size));
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) entry.set_rdev(status.st_rdev);
    entry.set_access_time_ns(to_nanoseconds(status.st_atim));
    entry.set_change_time_ns(to_nanoseconds(status.st_mtim));
  }

  Result<void> flush() {
    if (batch_.entries_size() > 0)
      TRY(image::put_message(sink_, image::RecordType::kTmpfs, batch_));
    batch_.clear_entries();
    for (const auto& [path, size] : std::exchange(files_, {}))
      TRY_IN(put_content(path, size), path);
    return {};
  }

  Result<void> put_content(const std::string& path, off_t size) {
    Fd directory = TRY(open_directory(mount_, parent_of(path)));
    Fd file(::openat(directory.get(), name_of(path).c_str(),
                     O_RDONLY | O_NOFOLLOW | O_NOATIME | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) return fail_errno("open");
    image::Tmpfs head;
    head.set_mount(batch_.mount());
    head.set_content_path(path);
    for (off_t hole = 0; hole < size;) {
      off_t data = ::lseek(file.get(), hole, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;
      if (data < 0) return fail_errno("find data");
      hole = ::lseek(file.get(), data, SEEK_HOLE);
      if (hole < 0) return fail_errno("find holes");
      TRY(put_extent(head, file.get(), data, hole));
    }
    return {};
  }

  Result<void> put_extent(image::Tmpfs& head, int file, off_t start, off_t end) {
    buffer_.resize(kPieceBytes);
    for (off_t at = start; at < end;) {
      size_t wanted = std::min(buffer_.size(), static_cast<size_t>(end - at));
      ssize_t got = ::pread(file, buffer_.data(), wanted, at);
      if (got < 0) return fail_errno("read");
      if (got == 0) break;
      head.set_content_offset(static_cast<uint64_t>(at));
      std::string bytes = head.SerializeAsString();
      TRY(sink_.put(image::RecordType::kTmpfs, std::as_bytes(std::span(bytes)),
                    std::span(buffer_).first(static_cast<size_t>(got))));
      at += got;
    }
    return {};
  }

  struct File {
    std::string path;
    off_t size;
  };

  image::Sink& sink_;
  const Fd& mount_;
  image::Tmpfs batch_;
  std::vector<File> files_;  // whose entries are in the batch
  std::map<ino_t, std::string> first_names_;
  std::vector<std::byte> buffer_;
};

// What the container has made read-only holds what it wrote before.
std::set<std::string> changed_points(const image::Mounts& changes) {
  std::set<std::string> points;
  for (const image::OwnMount& own : changes.own()) points.insert(own.point());
  for (const image::ChangedMount& changed : changes.changed()) points.insert(changed.point());
  return points;
}

using Candidates = std::vector<Mount>;  // mounts of one tmpfs that show as much of it

// For each tmpfs of the group the mounts that show most of it.
Result<std::vector<Candidates>> own_tmpfs_mounts(HostPid root, const image::Mounts& changes) {
  std::set<dev_t> of_host;
  for (const Mount& mount : TRY(read_mounts(HostPid(::getpid())))) of_host.insert(mount.device);
  const std::set<std::string> changed = changed_points(changes);
  std::vector<Mount> mounts = TRY(read_mounts(root));
  std::ranges::stable_sort(mounts, {}, [](const Mount& mount) { return mount.root.size(); });
  std::map<dev_t, Candidates> systems;
  for (Mount& mount : mounts) {
    if (mount.type != "tmpfs" || of_host.contains(mount.device) ||
        (mount.read_only && !changed.contains(mount.point)))
      continue;
    Candidates& same = systems[mount.device];
    if (same.empty() || same.front().root == mount.root) same.push_back(std::move(mount));
  }
  std::vector<Candidates> all;
  for (auto& [device, candidates] : systems) all.push_back(std::move(candidates));
  return all;
}

// Opens the first that no other mount hides.
Result<void> capture_mount(CaptureContext& context, const Candidates& candidates) {
  for (const Mount& mount : candidates) {
    auto fd = open_bare_mount(context.root(), mount.point);
    struct stat status{};
    if (fd && ::fstat(fd->get(), &status) == 0 && status.st_dev == mount.device)
      return TmpfsReader(context.sink(), mount.point, *fd).read();
  }
  return fail(Code::kUnsupported, "another mount lies on top of this tmpfs");
}

}  // namespace

Result<void> capture_tmpfs(CaptureContext& context, const image::Mounts& changes) {
  for (const Candidates& candidates : TRY(own_tmpfs_mounts(context.root(), changes)))
    TRY_IN(capture_mount(context, candidates), "tmpfs " + candidates.front().point);
  return {};
}

}  // namespace martlet::engine
