#include <fmt/format.h>
#include <sched.h>
#include <sys/wait.h>

#include <algorithm>
#include <set>

#include "checkpoint/builder.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/last_pid.h"
#include "engine/terminals/controlling.h"

namespace martlet::checkpoint {

using engine::Program;
using engine::Task;

namespace {

// Of a leader that has ended, in the PID namespace of who needs it.
image::Process stand_in_for(int32_t leader,
                            const google::protobuf::RepeatedField<int32_t>& inner_numbers,
                            int32_t pid_namespace) {
  image::Process stand_in;
  stand_in.set_pid(leader);
  *stand_in.mutable_inner_pids() = inner_numbers;
  stand_in.set_pid_namespace(pid_namespace);
  return stand_in;
}

const image::Process* zombie_with(int32_t pid, const image::Tree& tree) {
  auto found = std::ranges::find(tree.processes(), pid, &image::Process::pid);
  return found == tree.processes().end() || !found->zombie() ? nullptr : &*found;
}

}  // namespace

Result<Task> GroupBuilder::make_process(Member& member) {
  const image::Process& process = *member.process;
  Member* creator = TRY(this->member(creator_of(process)));
  if (creator->tasks.empty())
    return fail(Code::kBadImage, fmt::format("process {} comes before its creator", process.pid()));
  int32_t session = process.session();
  bool in_creators_session = session == creator->process->session();
  if (!in_creators_session && session != process.pid() && !members_.contains(session) &&
      session != tree_.processes(0).session())
    return make_orphan(*creator, process);
  if (in_creators_session || creator->process->session() != creator->process->pid()) {
    TRY(start_session(*creator));
    if (!staging_) TRY(take_terminal(*creator));
  }
  return fork(creator->leader(), process);
}

Result<Task> GroupBuilder::fork(Task& creator, const image::Process& process) {
  Task child = TRY(pid_namespaces_.fork(creator, process, *channel_));
  const engine::PidNumbers group = engine::group_of(process);
  const bool is_seen = group.depth() == 0 || group.own().value != 0;
  if (!is_seen && group.at(creator.numbers().depth()).value != 0)
    TRY(join_group_from_outside(creator, process));
  return child;
}

// A child that has no number of its group gets it from its creator, which has one; its own children
// are born with it. That of the root all have until they join another.
Result<void> GroupBuilder::join_group_from_outside(Task& creator, const image::Process& process) {
  if (process.group() == tree_.processes(0).group()) return {};
  Member* leader = TRY(member(process.group()));
  if (leader->tasks.empty()) return std::unexpected(impossible(process));
  if (leader->process->session() == process.group())
    TRY(start_session(*leader));
  else
    TRY(leader->leader().call("start process group", SYS_setpgid, {0, 0}));
  const size_t depth = creator.numbers().depth();
  TRY(creator.call(
      "put a child into a process group", SYS_setpgid,
      {engine::numbers_of(process).at(depth).value, engine::group_of(process).at(depth).value}));
  return {};
}

// The leader of the process's session has ended, and with it the process came to its present
// parent. A stand-in for the leader, or the zombie that is left of it, lets the same happen again.
Result<Task> GroupBuilder::make_orphan(Member& parent, const image::Process& process) {
  if (process.shares_files() || process.shares_directories() || process.shares_memory() ||
      process.creator() != 0)
    return std::unexpected(impossible(process));
  auto leader = stand_ins_.find(process.session());
  if (leader == stand_ins_.end()) {
    const image::Process* zombie = zombie_with(process.session(), tree_);
    if (zombie != nullptr && (zombie->parent() != parent.process->pid() ||
                              zombie->pid_namespace() != process.pid_namespace()))
      return std::unexpected(impossible(process));
    image::Process stand_in =
        stand_in_for(process.session(), process.inner_sessions(), process.pid_namespace());
    if (zombie != nullptr) stand_in.set_exit_signal(zombie->exit_signal());
    Task task = TRY(fork(parent.leader(), stand_in));
    TRY(task.call("start session", SYS_setsid, {}));
    leader = stand_ins_.emplace(process.session(), StandIn{std::move(task), &parent, zombie}).first;
  }
  if (leader->second.task.numbers().depth() != engine::session_of(process).depth())
    return std::unexpected(impossible(process));
  return fork(leader->second.task, process);
}

// Only the leader of a session does something here. The stub starts in a session of its own.
Result<void> GroupBuilder::start_session(Member& member) {
  const image::Process& process = *member.process;
  if (member.started_session || process.session() != process.pid()) return {};
  member.started_session = true;
  if (&process == &tree_.processes(0)) return {};
  TRY(member.leader().call("start session", SYS_setsid, {}));
  return {};
}

const image::ControllingTerminal* GroupBuilder::terminal_of(const Member& member) const {
  auto found = std::ranges::find(tree_.terminals(), member.process->session(),
                                 &image::ControllingTerminal::session);
  return found == tree_.terminals().end() ? nullptr : &*found;
}

// Only the leader of a session does something here, once.
Result<void> GroupBuilder::take_terminal(Member& member) {
  const image::ControllingTerminal* terminal = terminal_of(member);
  if (terminal == nullptr || member.process->pid() != terminal->session() ||
      std::exchange(member.took_terminal, true))
    return {};
  return in_context(engine::take_terminal(*context_, *channel_, member.leader(), *terminal),
                    "terminal " + terminal->terminal());
}

Result<void> GroupBuilder::leave_terminal(Member& member) {
  if (member.process->has_terminal() || terminal_of(member) == nullptr) return {};
  return engine::leave_terminal(member.leader());
}

// The process group as the task numbers it; 0: it has no number for it.
NsPid GroupBuilder::group_for(int32_t group, const Task& task) const {
  const size_t depth = task.numbers().depth();
  if (depth == 0) return NsPid(group);
  for (const image::Process& process : tree_.processes())
    if (process.group() == group && engine::group_of(process).depth() >= depth)
      return engine::group_of(process).at(depth);
  return {};
}

Result<void> GroupBuilder::set_foreground_groups() {
  for (const image::ControllingTerminal& terminal : tree_.terminals()) {
    Member* leader = TRY(member(terminal.session()));
    const NsPid group = group_for(terminal.foreground(), leader->leader());
    TRY_IN(engine::set_foreground_group(*context_, *channel_, leader->leader(), terminal, group),
           "terminal " + terminal.terminal());
  }
  return {};
}

void GroupBuilder::find_table_owners() {
  std::map<int32_t, int32_t> born_files, born_directories;  // by PID: who was born with it first
  std::set<int32_t> owned_files, owned_directories;
  auto settle = [](const image::Process& process, bool shares, bool leaves, auto& born,
                   auto& owned) {
    int32_t first = shares ? born[creator_of(process)] : process.pid();
    born[process.pid()] = first;
    return leaves || owned.insert(first).second;
  };
  for (const image::Process& process : tree_.processes()) {
    if (process.zombie()) continue;
    Member& member = members_.at(process.pid());
    member.owns_files =
        settle(process, process.shares_files(), process.leaves_files(), born_files, owned_files);
    member.owns_directories =
        settle(process, process.shares_directories(), process.leaves_directories(),
               born_directories, owned_directories);
  }
}

Result<void> GroupBuilder::leave_tables(Member& member) {
  const int flags = (member.process->leaves_files() ? CLONE_FILES : 0) |
                    (member.process->leaves_directories() ? CLONE_FS : 0);
  if (flags != 0) TRY(member.leader().call("leave what was shared", SYS_unshare, {flags}));
  return {};
}

// Who has children in another PID namespace makes no more threads.
Result<void> GroupBuilder::turn_children(Member& member) {
  return pid_namespaces_.turn_children(member.leader(), *member.process, *channel_);
}

// In the innermost namespaces first: who does it takes a number in those above.
Result<void> GroupBuilder::set_last_pids() {
  for (size_t i = order_.size(); i-- > 0;) {
    Member& first = members_.at(order_[i]);
    if (!engine::starts_pid_namespace(*first.process)) continue;
    TRY_IN(engine::set_last_pid(first.leader().host_pid(), NsPid(first.process->last_pid())),
           name_of(*first.process));
  }
  return {};
}

std::vector<engine::TableHolder> GroupBuilder::table_holders() {
  std::vector<engine::TableHolder> holders;
  for (const image::Process& process : tree_.processes()) {
    if (process.zombie()) continue;
    Member& member = members_.at(process.pid());
    holders.push_back({&member.leader(), &process.descriptors()});
    for (int i = 1; i < process.threads_size(); ++i)
      if (process.threads(i).has_own_files())
        holders.push_back(
            {&member.tasks[static_cast<size_t>(i)], &process.threads(i).own_files().descriptors()});
  }
  return holders;
}

// Null if a process outside of the group has the PID.
Result<Task*> GroupBuilder::task_with_pid(int32_t pid) {
  if (auto member = members_.find(pid); member != members_.end()) return &member->second.leader();
  if (auto made = stand_ins_.find(pid); made != stand_ins_.end()) return &made->second.task;
  Member& root = members_.at(tree_.processes(0).pid());
  auto task = engine::create_stand_in(root.leader(), NsPid(pid));
  if (!task && task.error().code() == Code::kAlreadyExists) return nullptr;
  if (!task) return std::unexpected(std::move(task.error()));
  return &stand_ins_.emplace(pid, StandIn{std::move(*task), &root, nullptr}).first->second.task;
}

Result<void> GroupBuilder::make_zombies() {
  for (const image::Process& process : tree_.processes()) {
    if (!process.zombie()) continue;
    if (auto made = stand_ins_.find(process.pid()); made != stand_ins_.end()) {
      context_->set_task(NsPid(process.pid()), made->second.task.host_pid());
      continue;
    }
    Member* parent = TRY(member(process.parent()));
    if (process.session() == parent->process->session()) {
      TRY_IN(make_late_zombie(*parent, process), name_of(process));
      continue;
    }
    Task task = TRY_IN(fork(parent->leader(), process), name_of(process));
    context_->set_task(NsPid(process.pid()), task.host_pid());
    TRY_IN(engine::become_zombie(task, parent->leader(), process), name_of(process));
  }
  return {};
}

// One that ends when its parent and the leader of its group have joined theirs.
Result<void> GroupBuilder::make_late_zombie(Member& parent, const image::Process& process) {
  Task task = TRY(fork(parent.leader(), process));
  context_->set_task(NsPid(process.pid()), task.host_pid());
  if (process.group() == process.pid()) TRY(task.call("start process group", SYS_setpgid, {0, 0}));
  stand_ins_.emplace(process.pid(), StandIn{std::move(task), &parent, &process});
  return {};
}

// The group of one that nobody else is in, and that it does not lead, has no leader to join.
Result<void> GroupBuilder::join_late_zombies() {
  for (auto& [pid, stand_in] : stand_ins_) {
    if (stand_in.zombie == nullptr) continue;
    const int32_t group = stand_in.zombie->group();
    const NsPid own = engine::group_of(*stand_in.zombie).own();
    if (group != pid && own.value != 0 && (members_.contains(group) || stand_ins_.contains(group)))
      TRY_IN(stand_in.task.call("join process group", SYS_setpgid, {0, own.value}),
             name_of(*stand_in.zombie));
  }
  return {};
}

// Who has no number of its group was born into it. A member whose group's leader has ended joins a
// stand-in with the leader's PID, which ends when all have joined. A group from outside of a plain
// process tree becomes the root's.
Result<void> GroupBuilder::join_group(Member& member) {
  const image::Process& process = *member.process;
  const NsPid own = engine::group_of(process).own();
  if (process.session() == process.pid() || &process == &tree_.processes(0) || own.value == 0)
    return {};
  int32_t group = process.group();
  auto leader = members_.find(group);
  if (leader != members_.end()) {
    if (leader->second.process->session() != group)
      TRY(leader->second.leader().call("start process group", SYS_setpgid, {0, 0}));
  } else if (group == tree_.processes(0).group() || group <= 0) {
    return {};
  } else if (!stand_ins_.contains(group)) {
    Task task = TRY(fork(member.leader(),
                         stand_in_for(group, process.inner_groups(), process.pid_namespace())));
    TRY(task.call("start process group", SYS_setpgid, {0, 0}));
    stand_ins_.emplace(group, StandIn{std::move(task), &member, nullptr});
  }
  TRY(member.leader().call("join process group", SYS_setpgid, {0, own.value}));
  return {};
}

// While their parents still take notice of the ends of children as by default.
Result<void> GroupBuilder::end_late_zombies() {
  for (auto& [pid, stand_in] : stand_ins_)
    if (stand_in.zombie != nullptr)
      TRY_IN(engine::become_zombie(stand_in.task, stand_in.parent->leader(), *stand_in.zombie),
             name_of(*stand_in.zombie));
  std::erase_if(stand_ins_, [](const auto& each) { return each.second.zombie != nullptr; });
  return {};
}

Result<void> GroupBuilder::dismiss(StandIn& stand_in) {
  Program program(*arena_);
  program.call("end", SYS_exit_group, {0});
  TRY(stand_in.task.run_to_end(program));
  return engine::reap_child(stand_in.parent->leader(), stand_in.task.numbers(), 0);
}

Result<void> GroupBuilder::dismiss_stand_ins() {
  for (auto& [group, stand_in] : stand_ins_) TRY(dismiss(stand_in));
  stand_ins_.clear();
  return {};
}

}  // namespace martlet::checkpoint
