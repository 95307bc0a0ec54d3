#include "checkpoint/relations.h"

#include <algorithm>
#include <set>

#include "engine/tasks/creation.h"
#include "sys/pagemap.h"

namespace martlet::checkpoint {

using engine::FrozenProcess;

namespace {

// A process that has come into a PID namespace from outside may be found before the first there.
void put_first_processes_first(std::vector<FrozenProcess>& processes) {
  std::set<HostPid> left;
  std::map<NsPid, HostPid> hosts;
  for (const FrozenProcess& process : processes) {
    left.insert(process.pid);
    hosts[process.ns_pid] = process.pid;
  }
  auto waits = [&](const FrozenProcess& process) {
    const HostPid first = hosts[process.inner.first];
    return left.contains(process.status.parent) || (first != process.pid && left.contains(first));
  };
  std::vector<FrozenProcess> ordered;
  while (!left.empty())
    for (FrozenProcess& process : processes) {
      if (!left.contains(process.pid) || waits(process)) continue;
      left.erase(process.pid);
      ordered.push_back(std::move(process));
    }
  processes = std::move(ordered);
}

}  // namespace

void order_for_restore(std::vector<FrozenProcess>& processes) {
  std::map<HostPid, pid_t> session;
  for (const auto& process : processes)
    session[process.pid] = process.status.ns_sessions.back().value;
  auto has_older_session = [&](const FrozenProcess& process) {
    auto parent = session.find(process.status.parent);
    pid_t own = process.status.ns_sessions.back().value;
    return parent != session.end() && own != process.ns_pid.value && own != parent->second;
  };
  for (auto first = processes.begin() + 1; first < processes.end();) {
    auto last = std::find_if(first, processes.end(), [&](const FrozenProcess& process) {
      return process.status.parent != first->status.parent;
    });
    std::stable_partition(first, last, has_older_session);
    first = last;
  }
  if (std::ranges::any_of(processes, [](const auto& each) { return each.inner.first.value != 0; }))
    put_first_processes_first(processes);
}

std::map<HostPid, NsPid> numbers_inside(const std::vector<FrozenProcess>& processes) {
  std::map<HostPid, NsPid> inside;
  for (const auto& process : processes) inside[process.pid] = process.ns_pid;
  return inside;
}

image::Process describe_relations(const FrozenProcess& frozen,
                                  const std::map<HostPid, NsPid>& inside) {
  image::Process out;
  out.set_pid(frozen.ns_pid.value);
  auto parent = inside.find(frozen.status.parent);
  out.set_parent(parent == inside.end() ? 0 : parent->second.value);
  out.set_group(frozen.status.ns_groups.back().value);
  out.set_session(frozen.status.ns_sessions.back().value);
  for (NsPid pid : frozen.inner.pids) out.add_inner_pids(pid.value);
  for (NsPid group : frozen.inner.groups) out.add_inner_groups(group.value);
  for (NsPid session : frozen.inner.sessions) out.add_inner_sessions(session.value);
  out.set_pid_namespace(frozen.inner.first.value);
  out.set_exit_signal(frozen.stat.exit_signal);
  if (frozen.zombie) {
    out.set_zombie(true);
    out.set_exit_code(frozen.stat.exit_code);
  }
  return out;
}

Result<uint64_t> find_work_area(const std::vector<FrozenProcess>& processes) {
  constexpr uint64_t kLowest = 0x10000;  // the kernel's usual vm.mmap_min_addr
  constexpr uint64_t kHighest = 0x7000'0000'0000;
  std::vector<sys::Range> taken;
  for (const auto& process : processes)
    for (const sys::Vma& vma : process.vmas) taken.push_back({vma.start, vma.end});
  std::ranges::sort(taken, {}, &sys::Range::start);
  uint64_t candidate = kLowest;
  for (const sys::Range& range : taken) {
    if (range.start >= candidate + engine::kWorkAreaSize) break;
    candidate = std::max(candidate, range.end);
  }
  if (candidate > kHighest)
    return fail(Code::kUnsupported, "no address range is free in all processes");
  return candidate;
}

bool is_free_in_all(uint64_t work_area, const std::vector<FrozenProcess>& processes) {
  return std::ranges::none_of(processes, [&](const FrozenProcess& process) {
    return std::ranges::any_of(process.vmas, [&](const sys::Vma& vma) {
      return vma.start < work_area + engine::kWorkAreaSize && work_area < vma.end;
    });
  });
}

}  // namespace martlet::checkpoint
