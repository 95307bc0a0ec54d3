#include "engine/tasks/limits.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/fd.h"
#include "engine/batch.h"
#include "sys/processors.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

struct LimitName {
  std::string_view name;  // as /proc/PID/limits prints it
  uint32_t resource;
};
constexpr LimitName kLimits[] = {
    {"Max cpu time", RLIMIT_CPU},
    {"Max file size", RLIMIT_FSIZE},
    {"Max data size", RLIMIT_DATA},
    {"Max stack size", RLIMIT_STACK},
    {"Max core file size", RLIMIT_CORE},
    {"Max resident set", RLIMIT_RSS},
    {"Max processes", RLIMIT_NPROC},
    {"Max open files", RLIMIT_NOFILE},
    {"Max locked memory", RLIMIT_MEMLOCK},
    {"Max address space", RLIMIT_AS},
    {"Max file locks", RLIMIT_LOCKS},
    {"Max pending signals", RLIMIT_SIGPENDING},
    {"Max msgqueue size", RLIMIT_MSGQUEUE},
    {"Max nice priority", RLIMIT_NICE},
    {"Max realtime priority", RLIMIT_RTPRIO},
    {"Max realtime timeout", RLIMIT_RTTIME},
};

constexpr int kIoPriorityOfProcess = 1;  // IOPRIO_WHO_PROCESS

struct KernelSchedulingAttributes {  // struct sched_attr, first version
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

// "Max open files            1024                 4096                 files"
std::optional<std::pair<uint64_t, uint64_t>> parse_limits(std::string_view text,
                                                          std::string_view name) {
  size_t at = text.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + name.size());
  auto take = [&]() -> uint64_t {
    text.remove_prefix(std::min(text.size(), text.find_first_not_of(' ')));
    uint64_t value = RLIM_INFINITY;  // "unlimited"
    std::from_chars(text.data(), text.data() + text.size(), value);
    text.remove_prefix(std::min(text.size(), text.find(' ')));
    return value;
  };
  uint64_t soft = take();
  uint64_t hard = take();
  return std::pair(soft, hard);
}

cpu_set_t all_processors() {
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);
  return all;
}

}  // namespace

Result<void> capture_limits(HostPid pid, image::Process& out) {
  std::string text = TRY(read_file(sys::proc_path(pid, "limits")));
  for (const LimitName& known : kLimits) {
    auto values = parse_limits(text, known.name);
    if (!values) continue;
    auto* limit = out.add_limits();
    limit->set_resource(known.resource);
    limit->set_soft(values->first);
    limit->set_hard(values->second);
  }
  return {};
}

Result<void> apply_limits(Task& leader, const image::Process& process) {
  Batch batch(leader);
  for (const image::ResourceLimit& limit : process.limits()) {
    rlimit value{limit.soft(), limit.hard()};
    Program* program = TRY(batch.room(1, sizeof value));
    program->call("set resource limit", SYS_prlimit64,
                  {0, limit.resource(), program->put_value(value), 0});
  }
  return batch.finish();
}

Result<void> capture_scheduling(HostPid tid, image::Scheduling& out) {
  KernelSchedulingAttributes attributes{};
  if (::syscall(SYS_sched_getattr, tid.value, &attributes, sizeof attributes, 0) != 0)
    return fail_errno("read scheduling of task " + to_string(tid));
  out.set_policy(attributes.policy);
  out.set_nice(attributes.nice);
  out.set_priority(attributes.priority);
  out.set_flags(static_cast<uint32_t>(attributes.flags));
  if (attributes.policy == SCHED_DEADLINE) {
    out.set_runtime_ns(attributes.runtime);
    out.set_deadline_ns(attributes.deadline);
    out.set_period_ns(attributes.period);
  }
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(tid.value, sizeof mask, &mask) != 0)
    return fail_errno("read affinity of task " + to_string(tid));
  // A mask of all processors means "anywhere" and stays so on a host with more of them.
  if (CPU_COUNT(&mask) < ::sysconf(_SC_NPROCESSORS_ONLN))
    out.set_affinity(std::string(reinterpret_cast<const char*>(&mask), sizeof mask));
  long io = ::syscall(SYS_ioprio_get, kIoPriorityOfProcess, tid.value);
  if (io > 0) out.set_io_priority(static_cast<uint32_t>(io));
  return {};
}

// All of it, since a new task has what the thread that makes it has.
Result<void> apply_scheduling(HostPid tid, const image::Scheduling& scheduling) {
  KernelSchedulingAttributes attributes{};
  attributes.size = sizeof attributes;
  attributes.policy = scheduling.policy();
  attributes.nice = scheduling.nice();
  attributes.priority = scheduling.priority();
  attributes.flags = scheduling.flags();
  attributes.runtime = scheduling.runtime_ns();
  attributes.deadline = scheduling.deadline_ns();
  attributes.period = scheduling.period_ns();
  // Such a task may not be bound to some of the processors, as it still is.
  if (attributes.policy == SCHED_DEADLINE) TRY(sys::allow_processors(tid, all_processors()));
  if (::syscall(SYS_sched_setattr, tid.value, &attributes, 0) != 0)
    return fail_errno("set scheduling of task " + to_string(tid));
  if (scheduling.affinity().size() == sizeof(cpu_set_t)) {
    cpu_set_t mask;
    std::memcpy(&mask, scheduling.affinity().data(), sizeof mask);
    if (::sched_setaffinity(tid.value, sizeof mask, &mask) != 0)
      return fail_errno("set affinity of task " + to_string(tid));
  }
  if (::syscall(SYS_ioprio_set, kIoPriorityOfProcess, tid.value, scheduling.io_priority()) != 0)
    return fail_errno("set I/O priority of task " + to_string(tid));
  return {};
}

}  // namespace martlet::engine
