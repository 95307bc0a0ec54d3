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

constexpr size_t kUts = 4;
static_assert(std::string_view(kKinds[kUts].file) == "uts");

std::string other_namespace_of(const Namespaces& expected, const Namespaces& own, HostPid task) {
  for (size_t i = 0; i < own.size(); ++i)
    if (own[i] != expected[i])
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

void note_namespaces(HostPid root, const Namespaces& of_root, FrozenProcess& process) {
  Namespaces expected = of_root;
  if (process.pid != root) {
    const Namespaces own = namespaces_of(process.pid);
    expected[kUts] = own[kUts];
    process.other_namespace = other_namespace_of(expected, own, process.pid);
  }
  process.uts_namespace = expected[kUts];
  if (!process.other_namespace.empty() || !threads_may_differ(process)) return;
  for (const FrozenThread& thread : process.threads) {
    const HostPid task = thread.tracee.tid();
    if (task == process.pid) continue;
    process.other_namespace = other_namespace_of(expected, namespaces_of(task), task);
    if (!process.other_namespace.empty()) return;
  }
}

}  // namespace martlet::engine
