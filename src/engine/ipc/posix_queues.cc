#include "engine/ipc/posix_queues.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/fd.h"
#include "engine/context.h"

namespace martlet::engine {
namespace {

constexpr auto kQueueFileSystem = 0x19800202;  // as statfs(2) tells it

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// The queues of the calling thread's namespace, mounted nowhere.
Result<Fd> open_queues() {
  Fd context(static_cast<int>(::syscall(SYS_fsopen, "mqueue", FSOPEN_CLOEXEC)));
  if (!context.valid() ||
      ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return fail_errno("look at POSIX message queues");
  Fd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (!mount.valid()) return fail_errno("look at POSIX message queues");
  Fd directory(::openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return fail_errno("list POSIX message queues");
  return directory;
}

}  // namespace

bool is_posix_queue(int fd) {
  struct statfs system{};
  return ::fstatfs(fd, &system) == 0 && system.f_type == kQueueFileSystem;
}

Result<void> refuse_posix_queues(HostPid process) {
  return run_in_namespace(process, "ipc", []() -> Result<void> {
    auto directory = open_queues();
    // A kernel without such queues.
    if (!directory && directory.error().error_number() == ENODEV) return {};
    if (!directory) return std::unexpected(std::move(directory.error()));
    std::unique_ptr<DIR, CloseDirectory> names(::fdopendir(directory->get()));
    if (!names) return fail_errno("list POSIX message queues");
    directory->release();  // the stream closes it
    while (const dirent* entry = ::readdir(names.get()))
      if (std::string name = entry->d_name; name != "." && name != "..")
        return fail(Code::kUnsupported, "POSIX message queues are not supported: /" + name);
    return {};
  });
}

}  // namespace martlet::engine
