#include "engine/tasks/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>

#include <cstdlib>
#include <iterator>
#include <tuple>

#include "base/fd.h"
#include "base/parallel.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Whether a thread can have another one than its leader: no process with threads changes its user
// or time namespace, and no thread its own PID namespace.
enum class Scope { kProcess, kThread };

struct Kind {
  const char* file;
  std::string_view name;
  Scope scope;
};
constexpr Kind kKinds[] = {
    {"pid", "PID", Scope::kProcess},
    {"mnt", "mount", Scope::kThread},
    {"net", "network", Scope::kThread},
    {"ipc", "IPC", Scope::kThread},
    {"uts", "UTS", Scope::kThread},
    {"user", "user", Scope::kProcess},
    {"cgroup", "cgroup", Scope::kThread},
    {"time", "time", Scope::kProcess},
    {"pid_for_children", "PID (for its children)", Scope::kThread},
    {"time_for_children", "time (for its children)", Scope::kThread},
};

static_assert(std::size(kKinds) == std::tuple_size_v<Namespaces>);

constexpr size_t kPid = 0;
static_assert(std::string_view(kKinds[kPid].file) == "pid");
constexpr size_t kMount = 1;
static_assert(std::string_view(kKinds[kMount].file) == "mnt");
constexpr size_t kNetwork = 2;
static_assert(std::string_view(kKinds[kNetwork].file) == "net");
constexpr size_t kIpc = 3;
static_assert(std::string_view(kKinds[kIpc].file) == "ipc");
constexpr size_t kUts = 4;
static_assert(std::string_view(kKinds[kUts].file) == "uts");
constexpr size_t kUser = 5;
static_assert(std::string_view(kKinds[kUser].file) == "user");
constexpr size_t kCgroup = 6;
static_assert(std::string_view(kKinds[kCgroup].file) == "cgroup");
constexpr size_t kTime = 7;
static_assert(std::string_view(kKinds[kTime].file) == "time");
constexpr size_t kChildrenPid = 8;
static_assert(std::string_view(kKinds[kChildrenPid].file) == "pid_for_children");
constexpr size_t kChildrenTime = 9;
static_assert(std::string_view(kKinds[kChildrenTime].file) == "time_for_children");

Fd open_links(HostPid task) {
  return Fd(::open(sys::proc_path(task, "ns").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// The number in a link like "net:[4026531840]", which costs the kernel far less than a look at what
// the link leads to.
ino_t number_of(const Fd& links, const Kind& kind) {
  auto link = sys::read_link(links, kind.file);
  const size_t bracket = link ? link->find('[') : std::string::npos;
  return bracket == std::string::npos ? 0 : std::strtoul(link->c_str() + bracket + 1, nullptr, 10);
}

std::string other_namespace_of(const Namespaces& expected, HostPid task, Scope scope) {
  const Fd links = open_links(task);
  for (size_t i = 0; i < expected.size(); ++i)
    if (kKinds[i].scope >= scope && number_of(links, kKinds[i]) != expected[i])
      return fmt::format("task {} has a {} namespace of its own", task.value, kKinds[i].name);
  return {};
}

// A thread can get a namespace for itself, but only with the right to administer.
bool threads_may_differ(const FrozenProcess& process) {
  return (process.status.cap_bounding >> CAP_SYS_ADMIN & 1) != 0;
}

}  // namespace

Namespaces namespaces_of(HostPid task) {
  const Fd links = open_links(task);
  Namespaces found{};
  for (size_t i = 0; i < found.size(); ++i) found[i] = number_of(links, kKinds[i]);
  return found;
}

ino_t note_namespaces(HostPid root, const Namespaces& of_root, FrozenProcess& process) {
  Namespaces expected = of_root;
  if (process.living != root) {
    const Fd links = open_links(process.living);
    for (size_t own :
         {kPid, kMount, kNetwork, kIpc, kUts, kUser, kCgroup, kTime, kChildrenPid, kChildrenTime})
      expected[own] = number_of(links, kKinds[own]);
    process.other_namespace = other_namespace_of(expected, process.living, Scope::kProcess);
  }
  process.mount_namespace = expected[kMount];
  process.network_namespace = expected[kNetwork];
  process.ipc_namespace = expected[kIpc];
  process.uts_namespace = expected[kUts];
  process.user_namespace = expected[kUser];
  process.pid_namespace = expected[kPid];
  process.children_pid_namespace = expected[kChildrenPid];
  process.time_namespace = expected[kTime];
  process.children_time_namespace = expected[kChildrenTime];
  if (!process.other_namespace.empty() || !threads_may_differ(process)) return expected[kCgroup];
  auto alike = for_each_in_parallel(process.threads.size(), [&](size_t i) -> Result<void> {
    auto found = other_namespace_of(expected, process.threads[i].tracee.tid(), Scope::kThread);
    if (found.empty()) return {};
    return fail(Code::kUnsupported, std::move(found));
  });
  if (!alike) process.other_namespace = alike.error().cause();
  return expected[kCgroup];
}

}  // namespace martlet::engine
