#include "engine/tasks/namespaces.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <iterator>
#include <tuple>

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

static_assert(std::size(kKinds) == std::tuple_size_v<Namespaces>);

std::string other_namespace_of(const Namespaces& of_root, HostPid task) {
  const Namespaces own = namespaces_of(task);
  for (size_t i = 0; i < own.size(); ++i)
    if (own[i] != of_root[i])
      return fmt::format("task {} has a {} namespace of its own", task.value, kKinds[i].name);
  return {};
}

// A thread can get a namespace for itself, but only with the right to administer.
bool threads_may_differ(const FrozenProcess& process) {
  return (process.status.cap_bounding >> CAP_SYS_ADMIN & 1) != 0;
}

}  // namespace

Namespaces namespaces_of(HostPid task) {
  Namespaces found{};
  for (size_t i = 0; i < found.size(); ++i) {
    struct stat status{};
    std::string path = sys::proc_path(task, std::string("ns/") + kKinds[i].file);
    if (::stat(path.c_str(), &status) == 0) found[i] = status.st_ino;
  }
  return found;
}

std::string find_other_namespace(HostPid root, const Namespaces& of_root,
                                 const FrozenProcess& process) {
  if (process.pid != root)
    if (auto found = other_namespace_of(of_root, process.pid); !found.empty()) return found;
  if (!threads_may_differ(process)) return {};
  for (const FrozenThread& thread : process.threads) {
    if (thread.tracee.tid() == process.pid) continue;
    if (auto found = other_namespace_of(of_root, thread.tracee.tid()); !found.empty()) return found;
  }
  return {};
}

}  // namespace martlet::engine
