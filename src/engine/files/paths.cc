#include "engine/files/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/procfs.h"

namespace martlet::engine {

Result<Fd> open_below(const Fd& root, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT;
  long fd = ::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how);
  if (fd < 0) return fail_errno("open " + path);
  return Fd(static_cast<int>(fd));
}

Result<Fd> open_below_root(HostPid process, const std::string& path, int flags, mode_t mode) {
  return open_below(TRY(open_file(sys::proc_path(process, "root"), O_PATH | O_DIRECTORY)), path,
                    flags, mode);
}

}  // namespace martlet::engine
