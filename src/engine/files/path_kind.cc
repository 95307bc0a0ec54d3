#include "engine/files/path_kind.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "engine/files/descriptions.h"
#include "engine/files/file_locks.h"
#include "engine/files/path_file.h"

namespace martlet::engine {
namespace {

constexpr unsigned kMemoryMajor = 1;           // null, zero, full, random, urandom, kmsg
constexpr unsigned kFirstTerminalMajor = 136;  // slaves of pseudo-terminals, /dev/pts/N
constexpr unsigned kLastTerminalMajor = 143;
constexpr unsigned kMemMinor = 1, kPortMinor = 4;  // /dev/mem and /dev/port: the host's hardware

// A description of such a device holds nothing but its offset and flags.
bool is_stateless_device(const struct stat& status) {
  if (!S_ISCHR(status.st_mode)) return false;
  unsigned major = ::major(status.st_rdev), minor = ::minor(status.st_rdev);
  if (major == kMemoryMajor) return minor != kMemMinor && minor != kPortMinor;
  return major >= kFirstTerminalMajor && major <= kLastTerminalMajor;
}

class PathKind final : public FileKind {
 public:
  std::string_view name() const override { return "file"; }

  bool recognises(const OpenFile& file) const override {
    if (!file.link.starts_with('/')) return false;
    return (file.flags & O_PATH) || S_ISREG(file.status.st_mode) || S_ISDIR(file.status.st_mode) ||
           is_stateless_device(file.status);
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    auto locks = TRY(parse_locks(file.info));
    image::Lease lease = TRY(parse_lease(file.info));
    image::RegularFile& regular = *out.mutable_regular();
    regular = TRY(capture_path_file(context, file));
    out.set_offset(std::max<off_t>(::lseek(file.fd, 0, SEEK_CUR), 0));
    regular.mutable_locks()->Assign(locks.begin(), locks.end());
    regular.set_lease(lease);
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_regular(); }

  // A process has its files in /proc when it is there, and a socket its name when it is bound.
  bool needs_tasks(const image::File& file) const override {
    const image::FileIdentity& identity = file.regular().identity();
    return identity.path().starts_with("/proc/") || S_ISSOCK(identity.mode());
  }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    Fd fd = TRY(open_path_file(context, file.regular(), static_cast<int>(file.flags())));
    if (file.offset() > 0 && ::lseek(fd.get(), file.offset(), SEEK_SET) < 0)
      return fail_errno("seek in " + file.regular().identity().path());
    for (const image::FileLock& lock : file.regular().locks())
      TRY_IN(take_lock(fd.get(), lock), file.regular().identity().path());
    return fd;
  }

  // A lease is broken by whoever opens the file, as the restore itself may do until now.
  Result<void> complete_in_task(ApplyContext&, const image::File& file, Task& task,
                                int number) const override {
    if (file.regular().lease() == image::LEASE_NONE) return {};
    return in_context(take_lease(task, number, file.regular().lease()),
                      file.regular().identity().path());
  }

  Result<void> complete_in_flight(ApplyContext&, const image::File& file, int fd) const override {
    if (file.regular().lease() == image::LEASE_NONE) return {};
    return in_context(take_lease(fd, file.regular().lease()), file.regular().identity().path());
  }
};

}  // namespace

const FileKind& path_kind() {
  static const PathKind kind;
  return kind;
}

}  // namespace martlet::engine
