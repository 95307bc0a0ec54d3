#include "engine/tasks/time_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/tasks/join_namespace.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"
#include "sys/user_namespace.h"

namespace martlet::engine {
namespace {

Result<Fd> open_link(HostPid task, const char* name) {
  return open_file(sys::proc_path(task, name), O_RDONLY | O_CLOEXEC);
}

class Survey {
 public:
  Survey(const std::vector<FrozenProcess>& processes, image::Tree& tree)
      : processes_(processes), tree_(tree) {
    for (const image::Process& process : tree.processes()) {
      if (!process.shares_memory()) continue;
      sharers_.insert(process.pid());
      sharers_.insert(process.creator() != 0 ? process.creator() : process.parent());
    }
  }

  Result<void> describe() {
    for (const FrozenProcess& process : processes_) {
      if (process.zombie) continue;
      if (process.children_time_namespace != process.time_namespace) TRY(add_maker(process));
      if (process.time_namespace != of_root()) TRY(add_inhabitant(process));
    }
    if (found_.empty()) return {};
    const sys::ClockOffsets group = TRY(sys::read_clock_offsets(processes_.front().living));
    for (auto& [number, name_space] : found_) {
      const sys::ClockOffsets own = TRY(offsets_of(number));
      name_space.set_monotonic_ns((own.monotonic - group.monotonic).count());
      name_space.set_boottime_ns((own.boottime - group.boottime).count());
      *tree_.add_time_namespaces() = std::move(name_space);
    }
    return {};
  }

 private:
  ino_t of_root() const { return processes_.front().time_namespace; }

  static std::unexpected<Error> refuse(const FrozenProcess& process, const char* why) {
    return fail(Code::kUnsupported, fmt::format("process {} {}", process.pid.value, why));
  }

  // What /proc shows as the clocks of a process are those of its children.
  Result<void> add_maker(const FrozenProcess& process) {
    if (&process == &processes_.front())
      return refuse(process, "is the first, and its children live in another time namespace");
    if (process.threads.size() + (process.ended_leader ? 1 : 0) > 1 ||
        sharers_.contains(process.ns_pid.value))
      return refuse(process,
                    "has threads or shares its memory, and its children live in another time "
                    "namespace than itself");
    TRY(check_owner(process, "ns/time_for_children"));
    image::TimeNamespace& made = found_[process.children_time_namespace];
    if (process.children_time_namespace == of_root() || made.maker() != 0 ||
        made.processes_size() != 0)
      return refuse(process, "does not live in the time namespace that others have before it");
    made.set_maker(process.ns_pid.value);
    return {};
  }

  Result<void> add_inhabitant(const FrozenProcess& process) {
    TRY(check_owner(process, "ns/time"));
    found_[process.time_namespace].add_processes(process.ns_pid.value);
    return {};
  }

  // Made again, it belongs to the user namespace of the group.
  Result<void> check_owner(const FrozenProcess& process, const char* link) const {
    const Fd owner = TRY(sys::user_namespace_of(TRY(open_link(process.living, link))));
    const Fd group = TRY(open_link(processes_.front().living, "ns/user"));
    if (process.user_namespace == processes_.front().user_namespace &&
        TRY(sys::number_of_namespace(owner)) == TRY(sys::number_of_namespace(group)))
      return {};
    return refuse(process, "has a time namespace and a user namespace of its own");
  }

  Result<sys::ClockOffsets> offsets_of(ino_t number) const {
    for (const FrozenProcess& process : processes_)
      if (!process.zombie && process.children_time_namespace == number)
        return sys::read_clock_offsets(process.living);
    return fail(Code::kUnsupported,
                "nothing tells the clocks of a time namespace: each process in "
                "it has its children in another");
  }

  const std::vector<FrozenProcess>& processes_;
  image::Tree& tree_;
  std::set<int32_t> sharers_;
  std::map<ino_t, image::TimeNamespace> found_;
};

}  // namespace

Result<void> describe_time_namespaces(const std::vector<FrozenProcess>& processes, bool container,
                                      image::Tree& tree) {
  if (container) return Survey(processes, tree).describe();
  const ino_t of_root = processes.front().time_namespace;
  for (const FrozenProcess& process : processes)
    if (!process.zombie &&
        (process.time_namespace != of_root || process.children_time_namespace != of_root))
      return fail(Code::kUnsupported,
                  fmt::format("task {} has a time namespace of its own", process.pid.value));
  return {};
}

Result<TimeNamespacesRestore> TimeNamespacesRestore::create(Task& first, const image::Tree& tree,
                                                            DescriptorChannel& channel) {
  TimeNamespacesRestore all;
  if (tree.time_namespaces().empty()) return all;
  all.of_group_ = TRY(open_link(first.host_pid(), "ns/time"));
  all.offsets_ = TRY(sys::read_clock_offsets(first.host_pid()));
  for (const image::TimeNamespace& image : tree.time_namespaces()) {
    Made& made = all.made_.emplace_back(&image, Fd());
    if (image.maker() == 0) TRY(all.make(first, made));
  }
  TRY(join_namespace(first, all.of_group_, CLONE_NEWTIME, "leave a time namespace", channel));
  return all;
}

// Its clocks can be set until somebody lives there.
Result<void> TimeNamespacesRestore::make(Task& maker, Made& out) const {
  const sys::ClockOffsets own{offsets_.monotonic + Nanoseconds(out.image->monotonic_ns()),
                              offsets_.boottime + Nanoseconds(out.image->boottime_ns())};
  TRY(maker.call("make a time namespace", SYS_unshare, {CLONE_NEWTIME}));
  TRY(write_file(sys::proc_path(maker.host_pid(), "timens_offsets"),
                 sys::format_clock_offsets(own)));
  out.name_space = TRY(open_link(maker.host_pid(), "ns/time_for_children"));
  return {};
}

Result<void> TimeNamespacesRestore::enter(Task& leader, DescriptorChannel& channel) {
  if (made_.empty()) return {};
  const int32_t pid = leader.process().value;
  const Fd* wanted = &of_group_;
  for (const Made& made : made_)
    if (std::ranges::count(made.image->processes(), pid) != 0) wanted = &made.name_space;
  if (!wanted->valid()) return fail(Code::kBadImage, "a time namespace comes before its maker");
  const Fd now = TRY(open_link(leader.host_pid(), "ns/time"));
  if (TRY(sys::number_of_namespace(*wanted)) != TRY(sys::number_of_namespace(now)))
    TRY(join_namespace(leader, *wanted, CLONE_NEWTIME, "enter a time namespace", channel));
  for (Made& made : made_)
    if (made.image->maker() == pid) TRY(make(leader, made));
  return {};
}

}  // namespace martlet::engine
