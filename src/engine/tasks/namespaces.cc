#include "engine/tasks/namespaces.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include "sys/procfs.h"

namespace martlet::engine {
namespace {

struct Kind {
  const char* file;
  std::string_view name;
};
constexpr Kind kKinds[] = {
    {"pid", "PID"},       {"mnt", "mount"}, {"net", "network"},
    {"ipc", "IPC"},       {"uts", "UTS"},   {"user", "user"},
    {"cgroup", "cgroup"}, {"time", "time"}, {"pid_for_children", "PID (for its children)"},
};

// 0: the kernel has no such namespaces, or the task is gone.
ino_t namespace_of(HostPid task, const char* file) {
  struct stat status{};
  std::string path = sys::proc_path(task, std::string("ns/") + file);
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

std::string other_namespace_of(HostPid root, HostPid task) {
  for (const Kind& kind : kKinds)
    if (namespace_of(task, kind.file) != namespace_of(root, kind.file))
      return fmt::format("task {} has a {} namespace of its own", task.value, kind.name);
  return {};
}

// A thread can get a namespace for itself, but only with the right to administer.
bool threads_may_differ(const FrozenProcess& process) {
  return (process.status.cap_bounding >> CAP_SYS_ADMIN & 1) != 0;
}

}  // namespace

std::string find_other_namespace(HostPid root, const FrozenProcess& process) {
  if (process.pid != root)
    if (auto found = other_namespace_of(root, process.pid); !found.empty()) return found;
  if (!threads_may_differ(process)) return {};
  for (const FrozenThread& thread : process.threads) {
    if (thread.tracee.tid() == process.pid) continue;
    if (auto found = other_namespace_of(root, thread.tracee.tid()); !found.empty()) return found;
  }
  return {};
}

}  // namespace martlet::engine
