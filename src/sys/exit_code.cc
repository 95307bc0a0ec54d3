#include "sys/exit_code.h"

#include <linux/ioctl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "sys/procfs.h"

namespace martlet::sys {
namespace {

// PIDFD_GET_INFO of linux/pidfd.h, which Debian 12's headers do not have.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t ids[11];
  int32_t exit_code;  // as wait(2) encodes it
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t kInfoExit = 1 << 3;

}  // namespace

int exit_code_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

std::optional<int> collected_status_of(int pidfd) {
  PidfdInfo info{};
  info.mask = kInfoExit;
  if (ioctl(pidfd, kPidfdGetInfo, &info) != 0 || !(info.mask & kInfoExit)) return std::nullopt;
  return info.exit_code;
}

std::optional<int> exit_code_of(HostPid pid, const Fd& pidfd) {
  if (const auto collected = collected_status_of(pidfd.get())) return exit_code_of(*collected);
  // Nobody has collected it yet: then /proc still shows it. If it is collected between the two
  // questions, the second answer is about nothing, and the pidfd knows by now.
  if (const auto stat = read_stat(pid); stat && read_status(pid) && read_status(pid)->state == 'Z')
    return exit_code_of(stat->exit_code);
  const auto collected = collected_status_of(pidfd.get());
  return collected ? std::optional(exit_code_of(*collected)) : std::nullopt;
}

}  // namespace martlet::sys
