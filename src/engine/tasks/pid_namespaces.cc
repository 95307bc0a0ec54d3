#include "engine/tasks/pid_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/wait.h>

#include <algorithm>

#include "engine/tasks/creation.h"
#include "engine/tasks/join_namespace.h"
#include "engine/tasks/last_pid.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"
#include "sys/user_namespace.h"

namespace martlet::engine {
namespace {

class Survey {
 public:
  Survey(const std::vector<FrozenProcess>& processes, image::Tree& tree)
      : processes_(processes), tree_(tree) {
    for (size_t i = 0; i < processes.size(); ++i) {
      places_[processes[i].ns_pid.value] = i;
      if (!processes[i].zombie) first_of_[processes[i].pid_namespace] = processes[i].inner.first;
    }
  }

  Result<void> describe(size_t i) {
    const FrozenProcess& process = processes_[i];
    image::Process& out = *tree_.mutable_processes(static_cast<int>(i));
    TRY(describe_children(process, out));
    if (process.inner.pids.empty()) return {};
    if (process.inner.first.value == 0)
      return refuse("lives in a PID namespace whose first process is not of the group");
    if (process.inner.is_first()) TRY(describe_first(process, out));
    TRY(check_threads(process));
    TRY(check_birth(process, out));
    TRY(check_group(process, out));
    return check_session(process, out);
  }

 private:
  static std::unexpected<Error> refuse(std::string what) {
    return fail(Code::kUnsupported, std::move(what));
  }

  const FrozenProcess* find(int32_t number) const {
    auto found = places_.find(number);
    return found == places_.end() ? nullptr : &processes_[found->second];
  }
  bool is_alive(NsPid number) const {
    const FrozenProcess* process = find(number.value);
    return process != nullptr && !process->zombie;
  }
  bool is_of_users_of_root(const FrozenProcess& process) const {
    return process.user_namespace == processes_.front().user_namespace;
  }
  // Those to be made: a main thread that has ended is one, too.
  static size_t threads_of(const FrozenProcess& process) {
    return process.threads.size() + (process.ended_leader ? 1 : 0);
  }
  const FrozenProcess* creator_of(const image::Process& process) const {
    return find(process.creator() != 0 ? process.creator() : process.parent());
  }

  Result<void> describe_children(const FrozenProcess& process, image::Process& out) const {
    if (process.zombie || process.children_pid_namespace == process.pid_namespace) return {};
    // No thread can be made by such a process.
    if (threads_of(process) > 1)
      return refuse("has threads, and its children live in another PID namespace than itself");
    out.set_begins_pid_namespace(process.children_pid_namespace == 0);
    if (out.begins_pid_namespace() && !is_of_users_of_root(process))
      return refuse("begins a PID namespace that belongs to a user namespace of its own");
    if (out.begins_pid_namespace()) return {};
    auto first = first_of_.find(process.children_pid_namespace);
    if (first == first_of_.end())
      return refuse("can have no children: the PID namespace that they would live in has ended");
    out.set_children_pid_namespace(first->second.value);
    return {};
  }

  Result<void> describe_first(const FrozenProcess& process, image::Process& out) const {
    const FrozenProcess* creator = creator_of(out);
    if (creator == nullptr || creator->inner.pids.size() + 1 != process.inner.pids.size())
      return refuse("is the first in its PID namespace, and its parent lives not in that above");
    Fd own = TRY(open_file(sys::proc_path(process.living, "ns/pid"), O_RDONLY));
    if (TRY(sys::number_of_namespace(TRY(sys::user_namespace_of(own)))) !=
        TRY(sys::number_of_namespace(TRY(open_file("/proc/self/ns/user", O_RDONLY)))))
      return refuse("lives in a PID namespace that belongs to a user namespace of its own");
    if (!process.zombie) {
      out.set_last_pid(TRY(read_last_pid(process.living, process.inner.pids.size())).value);
      return {};
    }
    const int status = process.stat.exit_code;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
      return refuse(
          fmt::format("was the first in its PID namespace, has been ended by signal {} "
                      "and is not reaped",
                      WTERMSIG(status)));
    return {};
  }

  // In its user namespace it has no right to choose the numbers of its threads.
  Result<void> check_threads(const FrozenProcess& process) const {
    if (threads_of(process) < 2 || is_of_users_of_root(process)) return {};
    return refuse("has threads, and both a PID and a user namespace of its own");
  }

  // The first process of a namespace makes no child of its own parent.
  Result<void> check_birth(const FrozenProcess& process, const image::Process& out) const {
    if (out.creator() == 0) return {};
    const FrozenProcess* creator = creator_of(out);
    if (creator->inner.first == process.inner.first && !creator->inner.is_first()) return {};
    return refuse(
        fmt::format("shares its descriptor table or its directories with process {} and "
                    "has another parent and PID namespace",
                    creator->pid.value));
  }

  // Who has no number of its group is born into it.
  Result<void> check_group(const FrozenProcess& process, const image::Process& out) const {
    const NsPid group(out.group());
    if (process.inner.groups.back().value != 0) return check_shared(process, group, true);
    const FrozenProcess* creator = creator_of(out);
    const size_t depth = creator->inner.pids.size();
    if (depth == process.inner.pids.size() || group_of(out).at(depth).value == 0) {
      if (creator->status.ns_groups.back() == group) return {};
      return refuse(
          "is in a process group outside of its PID namespace, which its parent is not in");
    }
    const bool comes_before = is_alive(group) && places_.at(group.value) < places_.at(out.pid());
    if (comes_before || group == processes_.front().status.ns_groups.back()) return {};
    return refuse("is in a process group outside of its PID namespace, whose leader has ended");
  }

  Result<void> check_session(const FrozenProcess& process, const image::Process& out) const {
    const NsPid session(out.session());
    if (creator_of(out)->status.ns_sessions.back() == session) return {};
    return check_shared(process, session, false);
  }

  // A stand-in for a leader that has ended lives where the process does.
  Result<void> check_shared(const FrozenProcess& process, NsPid leader, bool is_group) const {
    if (is_alive(leader)) return {};
    const NsPid own = is_group ? process.inner.groups.back() : process.inner.sessions.back();
    const bool is_alike = std::ranges::all_of(processes_, [&](const FrozenProcess& other) {
      const auto& numbers = is_group ? other.status.ns_groups : other.status.ns_sessions;
      return numbers.back() != leader || other.inner.first == process.inner.first;
    });
    if (own.value != 0 && is_alike) return {};
    return refuse(
        fmt::format("is in a {} whose leader has ended, with one of another PID namespace",
                    is_group ? "process group" : "session"));
  }

  const std::vector<FrozenProcess>& processes_;
  image::Tree& tree_;
  std::map<int32_t, size_t> places_;  // by number in the group
  std::map<ino_t, NsPid> first_of_;   // by namespace; 0: it is that of the group
};

}  // namespace

Result<void> describe_pid_namespaces(const std::vector<FrozenProcess>& processes,
                                     image::Tree& tree) {
  Survey survey(processes, tree);
  for (size_t i = 0; i < processes.size(); ++i)
    TRY_IN(survey.describe(i), fmt::format("process {}", processes[i].pid.value));
  return {};
}

bool are_numbers_sound(const image::Process& process,
                       std::map<int32_t, const image::Process*>& before) {
  const int depth = process.inner_pids_size();
  auto is_above = [&](int32_t pid) {
    auto other = before.find(pid);
    return other == before.end() || other->second->inner_pids_size() <= depth;
  };
  bool sound = static_cast<size_t>(depth) < kMostPidNamespaces &&
               process.inner_groups_size() == depth && process.inner_sessions_size() == depth &&
               std::ranges::all_of(
                   process.inner_pids(), [](int32_t pid) { return pid > 0; }) &&
               is_above(process.parent()) && is_above(process.creator());
  for (const image::Thread& thread : process.threads())
    sound = sound && thread.inner_tids_size() == depth;
  before[process.pid()] = &process;
  auto first = before.find(process.pid_namespace());
  if (depth == 0) return sound && process.pid_namespace() == 0;
  return sound && first != before.end() && starts_pid_namespace(*first->second) &&
         first->second->inner_pids_size() == depth &&
         starts_pid_namespace(process) == (first->second == &process);
}

Result<Task> PidNamespacesRestore::fork(Task& creator, const image::Process& process,
                                        DescriptorChannel& channel) {
  const int32_t home = process.pid_namespace();
  home_of_[process.pid()] = home;
  if (starts_pid_namespace(process)) {
    Task first = TRY(fork_process(creator, process));
    made_[home] = TRY(open_file(sys::proc_path(first.host_pid(), "ns/pid"), O_RDONLY));
    return first;
  }
  if (home == home_of_[creator.process().value]) return fork_process(creator, process);
  Fd own = TRY(open_file(sys::proc_path(creator.host_pid(), "ns/pid"), O_RDONLY));
  TRY(enter(creator, home, channel));
  Task child = TRY(fork_process(creator, process));
  TRY(join_namespace(creator, own, CLONE_NEWPID, "leave a PID namespace", channel));
  return child;
}

Result<void> PidNamespacesRestore::enter(Task& task, int32_t first,
                                         DescriptorChannel& channel) const {
  auto made = made_.find(first);
  if (made == made_.end())
    return fail(Code::kBadImage, fmt::format("no PID namespace of process {}", first));
  return join_namespace(task, made->second, CLONE_NEWPID, "enter a PID namespace", channel);
}

Result<void> PidNamespacesRestore::turn_children(Task& task, const image::Process& process,
                                                 DescriptorChannel& channel) const {
  if (process.children_pid_namespace() != 0)
    return enter(task, process.children_pid_namespace(), channel);
  if (!process.begins_pid_namespace()) return {};
  TRY(task.call("begin a PID namespace", SYS_unshare, {CLONE_NEWPID}));
  return {};
}

}  // namespace martlet::engine
