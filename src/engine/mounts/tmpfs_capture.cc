#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "engine/mounts/attributes.h"
#include "engine/mounts/bare_mount.h"
#include "engine/mounts/tmpfs.h"
#include "engine/mounts/tmpfs_mounts.h"
#include "engine/mounts/tmpfs_rounds.h"

namespace martlet::engine {
namespace {

constexpr size_t kBatchBytes = 256u << 10;
constexpr size_t kPieceBytes = 1u << 20;
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

int64_t to_nanoseconds(const timespec& time) {
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

Result<std::string> read_target(int directory, const std::string& name, size_t size) {
  std::string target(size + 1, '\0');
  ssize_t got = ::readlinkat(directory, name.c_str(), target.data(), target.size());
  if (got < 0) return fail_errno("read link " + name);
  target.resize(static_cast<size_t>(got));
  return target;
}

// Walks one mount. Entries are gathered into records; the contents of the files among them follow.
class TmpfsReader {
 public:
  TmpfsReader(image::Sink& sink, const TmpfsMount& mount, TmpfsRounds* ahead)
      : sink_(sink), of_(mount.mount), mount_(mount.root), ahead_(ahead) {
    head_.set_mount(of_.point);
    head_.set_mount_namespace(mount.mount_namespace);
    batch_ = head_;
  }

  Result<void> read() {
    Fd root = TRY(open_directory(mount_, ""));
    TRY(add(root, ".", ""));
    TRY(walk(root, ""));
    return flush();
  }

 private:
  struct File {
    std::string path;
    off_t size;
    uint32_t staged;  // in rounds; 0: it was in none
  };

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
    if (S_ISREG(status.st_mode)) {
      if (ahead_ != nullptr) entry.set_staged(ahead_->number_of(of_, status));
      files_.push_back({path, status.st_size, entry.staged()});
    }
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
    for (const File& file : std::exchange(files_, {})) TRY_IN(put_content(file), file.path);
    return {};
  }

  Result<void> put_content(const File& of) {
    Fd file = TRY(open_tmpfs_file(mount_, of.path));
    if (of.staged != 0) return ahead_->put_changes(sink_, of.staged, file);
    return put_all(of, file);
  }

  Result<void> put_all(const File& of, const Fd& file) {
    const auto& [path, size, staged] = of;
    image::Tmpfs head = head_;
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

  image::Sink& sink_;
  const Mount& of_;
  const Fd& mount_;
  TmpfsRounds* ahead_;  // null without rounds
  image::Tmpfs head_;   // the fields of all records of the mount
  image::Tmpfs batch_;
  std::vector<File> files_;  // whose entries are in the batch
  std::map<ino_t, std::string> first_names_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Result<void> capture_tmpfs(CaptureContext& context, const image::Mounts& changes,
                           TmpfsRounds* ahead) {
  const auto mounts = TRY(open_own_tmpfs(context.root(), context.mounts(), changes));
  if (ahead != nullptr) TRY(ahead->settle(context.sink(), mounts));
  for (const TmpfsMount& mount : mounts)
    TRY_IN(TmpfsReader(context.sink(), mount, ahead).read(), "tmpfs " + mount.mount.point);
  return {};
}

}  // namespace martlet::engine
