#include "sys/pidfd.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sys/procfs.h"

namespace martlet::sys {
namespace {

constexpr int kPidfdThread = O_EXCL;  // PIDFD_THREAD of <linux/pidfd.h>

int kcmp_type(Shared what) {
  switch (what) {
    case Shared::kMemory: return KCMP_VM;
    case Shared::kFiles: return KCMP_FILES;
    case Shared::kFileSystem: return KCMP_FS;
    case Shared::kSignalHandlers: return KCMP_SIGHAND;
    case Shared::kSemaphoreUndo: return KCMP_SYSVSEM;
  }
  return -1;
}

// 0: equal, 1: a before b, 2: a after b, 3: not equal and without order.
int sign_of(long order) {
  if (order == 0) return 0;
  return order == 1 ? -1 : 1;
}

}  // namespace

Result<Fd> open_pidfd(HostPid pid, int flags) {
  long fd = ::syscall(SYS_pidfd_open, pid.value, flags);
  if (fd < 0) return fail_errno("open process " + to_string(pid));
  return Fd(static_cast<int>(fd));
}

Result<Fd> open_task(HostPid tid) {
  if (auto process = open_pidfd(tid)) return process;
  auto thread = open_pidfd(tid, kPidfdThread);
  if (!thread && thread.error().error_number() == EINVAL)
    return fail(Code::kUnsupported,
                "thread " + to_string(tid) +
                    " has descriptors that the main thread of its process does not have, which "
                    "Linux shows since version 6.9");
  return thread;
}

Result<Fd> duplicate_descriptor(const Fd& pidfd, int number) {
  long fd = ::syscall(SYS_pidfd_getfd, pidfd.get(), number, 0);
  if (fd < 0) return fail_errno("duplicate descriptor " + std::to_string(number));
  return Fd(static_cast<int>(fd));
}

Result<bool> is_shared(HostPid a, HostPid b, Shared what) {
  return TRY(compare_resources(a, b, what)) == 0;
}

Result<int> compare_resources(HostPid a, HostPid b, Shared what) {
  long order = ::syscall(SYS_kcmp, a.value, b.value, kcmp_type(what), 0, 0);
  if (order < 0) return fail_errno("compare processes " + to_string(a) + " and " + to_string(b));
  return sign_of(order);
}

std::vector<HostPid> list_table_holders(HostPid process) {
  auto threads = list_threads(process);
  if (!threads) return {};
  std::erase_if(*threads, [&](HostPid tid) {
    return tid != process && is_shared(process, tid, Shared::kFiles).value_or(true);
  });
  return *threads;
}

Result<int> compare_files(HostPid a, int number_a, HostPid b, int number_b) {
  long order = ::syscall(SYS_kcmp, a.value, b.value, KCMP_FILE, number_a, number_b);
  if (order < 0) return fail_errno("compare descriptors");
  return sign_of(order);
}

}  // namespace martlet::sys
