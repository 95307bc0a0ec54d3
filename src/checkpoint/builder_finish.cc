#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/log.h"
#include "checkpoint/builder.h"
#include "engine/files/file_locks.h"
#include "engine/ipc/queue_notifications.h"
#include "engine/ipc/sysv_undo.h"
#include "engine/memory/aio_contexts.h"
#include "engine/memory/missing_pages.h"
#include "engine/mounts/own_mounts.h"
#include "engine/sockets/unix_apply.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/credentials.h"
#include "engine/tasks/enter_namespaces.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/limits.h"
#include "engine/tasks/process_state.h"
#include "engine/tasks/seccomp.h"
#include "engine/tasks/signals.h"
#include "engine/tasks/thread_state.h"
#include "engine/terminals/controlling.h"
#include "engine/timers/process_timers.h"
#include "sys/procfs.h"

namespace martlet::checkpoint {

using engine::Program;
using engine::Task;

namespace {

image::Directories directories_of(const image::Process& process) {
  image::Directories directories;
  *directories.mutable_working() = process.working_directory();
  *directories.mutable_root() = process.root_directory();
  directories.set_umask(process.umask());
  directories.set_removed_working(process.removed_working_directory());
  return directories;
}

}  // namespace

Result<void> GroupBuilder::finish() {
  if (order_.size() != members_.size())
    return fail(Code::kBadImage, "the image lacks an address space");
  sys::OnProcessor here(processor_);
  auto each = [&](Result<void> (GroupBuilder::*step)(Member&)) -> Result<void> {
    for (int32_t pid : order_) {
      Member& current = members_.at(pid);
      TRY_IN((this->*step)(current), name_of(*current.process));
    }
    return {};
  };
  find_table_owners();
  TRY(sysv_.remove_marked(*context_, ipc_));
  TRY(ipc_namespaces_.remove_marked());
  TRY(each(&GroupBuilder::leave_tables));
  TRY(each(&GroupBuilder::start_session));
  TRY(each(&GroupBuilder::take_terminal));
  TRY(each(&GroupBuilder::leave_terminal));
  TRY(create_unix_sockets());
  TRY(make_zombies());
  auto leader_of = [&](int32_t pid) -> Task* {
    auto found = members_.find(pid);
    return found == members_.end() ? nullptr : &found->second.leader();
  };
  TRY(each(&GroupBuilder::join_group));
  TRY(join_late_zombies());
  TRY(each(&GroupBuilder::turn_children));
  TRY(make_user_namespaces());
  TRY(each(&GroupBuilder::settle));
  TRY(mounts_->enter(*channel_, leader_of));
  TRY(cgroups_.make_namespaces(*channel_, leader_of));
  TRY(engine::enter_namespaces(*context_, tree_, *user_namespaces_, networks_, *channel_,
                               leader_of));
  TRY(each(&GroupBuilder::make_threads));
  TRY(engine::create_files_of_tasks(*context_));
  TRY(end_late_zombies());
  TRY(each(&GroupBuilder::equip));
  TRY(engine::complete_files(*context_, table_holders()));
  TRY(tmpfs_->finish());
  TRY(mounts_->finish());
  TRY(set_foreground_groups());
  TRY(dismiss_stand_ins());
  TRY(set_last_pids());
  TRY(each(&GroupBuilder::set_process_state));
  TRY(each(&GroupBuilder::end_leader));
  TRY(each(&GroupBuilder::set_seccomp));
  TRY(each(&GroupBuilder::set_credentials));
  TRY(each(&GroupBuilder::release));
  TRY(each(&GroupBuilder::leave_arena));
  TRY(each(&GroupBuilder::catch_missing));
  return cgroups_.finish(*context_);
}

// Before zombies and threads take PIDs that a stand-in may need here.
Result<void> GroupBuilder::create_unix_sockets() {
  std::set<int32_t> before;
  for (const auto& [pid, stand_in] : stand_ins_) before.insert(pid);
  engine::TaskUnixCaller caller(context_->networks(), *channel_,
                                [this](int32_t pid) { return task_with_pid(pid); });
  TRY(engine::create_unix_sockets(*context_, caller));
  for (auto stand_in = stand_ins_.begin(); stand_in != stand_ins_.end();) {
    auto current = stand_in++;
    if (before.contains(current->first)) continue;
    TRY(dismiss(current->second));
    stand_ins_.erase(current);
  }
  return {};
}

// Threads begin with their leader's personality; and membarriers are registered in no time while
// the process has no threads.
Result<void> GroupBuilder::make_threads(Member& member) {
  const image::Process& process = *member.process;
  Program program(*arena_);
  program.call("set personality", SYS_personality, {process.personality()});
  engine::register_membarriers(program, process);
  TRY(member.leader().run(program));
  for (int i = process.has_ended_leader() ? 0 : 1; i < process.threads_size(); ++i) {
    Task created = TRY(make_thread(member, process.threads(i)));
    member.tasks.push_back(std::move(created));
  }
  for (const Task& task : member.tasks) context_->set_task(task.tid(), task.host_pid());
  if (process.has_ended_leader()) {
    member.ending_leader = std::move(member.tasks.front());
    member.tasks.erase(member.tasks.begin());
  }
  stats_.threads += member.tasks.size();
  return {};
}

bool GroupBuilder::enters_user_namespace(const image::Process& process) const {
  return user_namespaces_->view_of(process.pid()) != nullptr;
}

Result<Task> GroupBuilder::make_thread(Member& member, const image::Thread& thread) {
  auto creator = thread.creator() == 0
                     ? member.tasks.begin()
                     : std::ranges::find(member.tasks, NsPid(thread.creator()), &Task::tid);
  if (!enters_user_namespace(*member.process)) return engine::create_thread(*creator, thread);
  return engine::create_thread_in_turn(*creator, thread, member.tasks.back().tid(), root_);
}

Result<void> GroupBuilder::set_directories(Task& task, const image::Directories& directories) {
  if (uint32_t removed = directories.removed_working())
    TRY_IN(enter_directory(task, context_->description(removed)), "working directory");
  Program program(*arena_);
  if (directories.removed_working() == 0)
    program.call("change to working directory", SYS_chdir,
                 {program.put_string(directories.working().path())});
  if (directories.root().path() != "/")
    program.call("change root directory", SYS_chroot,
                 {program.put_string(directories.root().path())});
  program.call("set umask", SYS_umask, {directories.umask()});
  return task.run(program);
}

Result<void> GroupBuilder::enter_directory(Task& task, int description) {
  if (description < 0) return fail(Code::kBadImage, "is not in the image");
  std::array<int, 1> wanted = {description};
  int number = TRY(channel_->send(task, wanted))[0];
  Program program(*arena_);
  program.call("change to directory", SYS_fchdir, {number});
  program.call("close", SYS_close, {number});
  return task.run(program);
}

Result<void> GroupBuilder::equip_thread(Task& task, const image::Thread& thread) {
  if (thread.has_own_directories()) TRY(set_directories(task, thread.own_directories()));
  if (thread.has_own_files()) {
    const image::DescriptorTable& table = thread.own_files();
    TRY(engine::install_descriptors(*context_, *channel_, task, table.descriptors()));
    TRY(engine::apply_process_locks(task, table.locks()));
  }
  return engine::apply_thread(task, thread);
}

// What a process that leaves the group's user namespace may have no right to any more.
Result<void> GroupBuilder::settle(Member& member) {
  const image::Process& process = *member.process;
  Task& leader = member.leader();
  if (member.owns_directories && enters_user_namespace(process))
    TRY(set_directories(leader, directories_of(process)));
  if (process.child_subreaper())
    TRY(leader.call("become subreaper", SYS_prctl, {PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0}));
  if (process.shares_memory()) return {};
  TRY(engine::SpaceBuilder::install_guards(leader, member.guards));
  TRY(engine::restore_aio_contexts(leader, *channel_, *member.space, member.aio_contexts));
  TRY(spaces_->finish(leader, *member.space));
  if (!member.missing.empty()) member.missing_handler = TRY(engine::make_missing_handler(leader));
  return {};
}

Result<void> GroupBuilder::equip(Member& member) {
  const image::Process& process = *member.process;
  Task& leader = member.leader();
  if (member.owns_directories && !enters_user_namespace(process))
    TRY(set_directories(leader, directories_of(process)));
  if (member.owns_files) {
    TRY(engine::install_descriptors(*context_, *channel_, leader, process.descriptors()));
    TRY(engine::apply_process_locks(leader, process.locks()));
  }
  if (!process.shares_handlers()) TRY(engine::apply_signal_actions(leader, process));
  const int done_signal = engine::unused_signal(process);
  for (Task& task : member.tasks) task.set_done_signal(done_signal);
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(equip_thread(member.tasks[static_cast<size_t>(i)], process.threads(i)));
  return {};
}

Result<void> GroupBuilder::set_process_state(Member& member) {
  const image::Process& process = *member.process;
  Task& leader = member.leader();
  TRY(engine::apply_posix_timers(leader, process));
  // Only the leader may queue signals that seem to come from the kernel.
  TRY(engine::apply_process_pending(member.ending_leader ? *member.ending_leader : leader,
                                    process));
  const image::Ipc* own = ipc_namespaces_.objects_of(process.pid());
  const image::Ipc& objects = own != nullptr ? *own : ipc_;
  TRY(engine::apply_semaphore_undo(leader, process, objects));
  TRY(engine::apply_queue_notifications(leader, objects));
  if (process.oom_score_adj() != 0)
    TRY(write_file(sys::proc_path(leader.host_pid(), "oom_score_adj"),
                   std::to_string(process.oom_score_adj())));
  if (process.has_coredump_filter())
    TRY(write_file(sys::proc_path(leader.host_pid(), "coredump_filter"),
                   std::to_string(process.coredump_filter())));
  return in_context(engine::apply_limits(leader, process), "resource limits");
}

Result<void> GroupBuilder::catch_missing(Member& member) {
  if (member.missing.empty()) return {};
  return engine::catch_missing_pages(*member.missing_handler, member.leader().host_pid(),
                                     *member.space, member.missing);
}

std::vector<LateMemory> GroupBuilder::take_late_memory() {
  std::vector<LateMemory> late;
  for (auto& [pid, member] : members_) {
    if (!member.missing_handler) continue;
    late.push_back({NsPid(pid), std::move(*member.missing_handler), std::move(member.missing)});
    member.missing_handler.reset();
  }
  return late;
}

// Before any child is to have a signal when the thread ends that made it.
Result<void> GroupBuilder::end_leader(Member& member) {
  if (!member.ending_leader) return {};
  const image::Process& process = *member.process;
  const image::EndedLeader& wanted = process.ended_leader();
  Task& leader = *member.ending_leader;
  Program program(*arena_);
  program.call("set name", SYS_prctl,
               {PR_SET_NAME, program.put_string(wanted.name().substr(0, 15)), 0, 0, 0});
  TRY(leader.run(program));
  TRY(engine::apply_credentials(leader, wanted.credentials(),
                                user_namespaces_->view_of(process.pid())));
  return engine::end_leader(leader, wanted.exit_code());
}

Result<void> GroupBuilder::set_seccomp(Member& member) {
  return engine::apply_seccomp(member.tasks, *member.process, tree_.seccomp_filters());
}

Result<void> GroupBuilder::set_credentials(Member& member) {
  const image::Process& process = *member.process;
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(engine::apply_credentials(member.tasks[static_cast<size_t>(i)],
                                  process.threads(i).credentials(),
                                  user_namespaces_->view_of(process.pid())));
  // A change of credentials resets it.
  for (int i = 0; i < process.threads_size(); ++i)
    if (uint32_t signal = process.threads(i).parent_death_signal())
      TRY(member.tasks[static_cast<size_t>(i)].call("set parent-death signal", SYS_prctl,
                                                    {PR_SET_PDEATHSIG, signal, 0, 0, 0}));
  return {};
}

Result<void> GroupBuilder::release(Member& member) {
  const image::Process& process = *member.process;
  Program program(*arena_);
  if (member.owns_files) program.call("close control socket", SYS_close, {channel_->number()});
  if (!process.shares_memory() &&
      member.space->dumpable() <= 1)  // a change of credentials resets it
    program.call("set dumpable", SYS_prctl, {PR_SET_DUMPABLE, member.space->dumpable(), 0, 0, 0});
  engine::apply_interval_timers(program, process);
  TRY(member.leader().run(program));
  for (int i = 1; i < process.threads_size(); ++i)
    if (process.threads(i).has_own_files())
      TRY(member.tasks[static_cast<size_t>(i)].call("close control socket", SYS_close,
                                                    {channel_->number()}));
  return {};
}

// Who shares the memory makes no call any more.
Result<void> GroupBuilder::leave_arena(Member& member) {
  const image::Process& process = *member.process;
  if (!process.shares_memory()) TRY(engine::drop_arena(member.leader()));
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(engine::load_registers(member.tasks[static_cast<size_t>(i)], process.threads(i)));
  return leave_processor(member);
}

Result<void> GroupBuilder::leave_processor(Member& member) {
  for (int i = 0; i < member.process->threads_size(); ++i)
    if (member.process->threads(i).scheduling().affinity().empty())
      TRY(sys::allow_processors(member.tasks[static_cast<size_t>(i)].host_pid(), processors_));
  return {};
}

Result<void> GroupBuilder::resume() {
  for (auto& [pid, member] : members_)
    for (Task& task : member.tasks) TRY(task.tracee().set_death(sys::Death::kGoOn));
  running_ = true;
  sysv_.keep();
  // Closing a file is an event for who watches it, so what served the restore is closed before.
  spaces_->forget_files();
  context_->close_stashed();
  engine::files_go_live(*context_);
  let_stopped_go();
  for (auto& [pid, member] : members_)
    if (!member.process->stopped()) let_go(member);
  context_.reset();
  return {};
}

void GroupBuilder::let_stopped_go() {
  std::vector<HostPid> stopped;
  for (auto& [pid, member] : members_) {
    if (!member.process->stopped()) continue;
    stopped.push_back(member.leader().host_pid());
    // Waits as a pending signal until the process is let go; a detach delivers none from this stop.
    ::kill(stopped.back().value, SIGSTOP);
    let_go(member);
  }
  for (HostPid pid : stopped) engine::await_job_stop(pid);
}

void GroupBuilder::let_go(Member& member) {
  for (Task& task : member.tasks) {
    auto detached = task.tracee().detach();
    if (!detached && detached.error().code() != Code::kGone)
      spdlog::error("process {}: {}", member.process->pid(), detached.error().to_string());
  }
}

}  // namespace martlet::checkpoint
