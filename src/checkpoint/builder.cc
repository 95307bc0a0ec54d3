#include "checkpoint/builder.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "checkpoint/host_facts.h"
#include "engine/files/file_table.h"
#include "engine/files/unlinked_file.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/credentials.h"
#include "engine/tasks/limits.h"
#include "engine/tasks/signals.h"
#include "engine/tasks/thread_state.h"
#include "engine/timers/process_timers.h"
#include "sys/procfs.h"

namespace martlet::checkpoint {
namespace {

using engine::Program;
using engine::Task;
using image::RecordType;

int highest_descriptor(const image::Tree& tree) {
  int highest = -1;
  for (const image::Process& process : tree.processes())
    for (const image::Descriptor& descriptor : process.descriptors())
      highest = std::max(highest, descriptor.fd());
  return highest;
}

std::string name_of(const image::Process& process) {
  return fmt::format("process {} ({})", process.pid(),
                     process.threads_size() > 0 ? process.threads(0).name() : "");
}

}  // namespace

GroupBuilder::~GroupBuilder() {
  if (!running_) kill_all();
}

Result<void> GroupBuilder::build(image::Source& source) {
  SystemClock clock;
  Stopwatch watch(clock);
  TRY(read_records(source));
  TRY(finish());
  stats_.build_seconds = watch.seconds();
  return {};
}

Result<void> GroupBuilder::read_records(image::Source& source) {
  auto header = TRY(image::parse_as<image::Header>(TRY(source.next())));
  TRY(check_header(header));
  TRY(begin(TRY(image::parse_as<image::Tree>(TRY(source.next())))));
  for (;;) {
    image::Record record = TRY(source.next());
    if (record.type == RecordType::kEnd) return {};
    TRY(read_record(record));
  }
}

Result<void> GroupBuilder::read_record(const image::Record& record) {
  switch (record.type) {
    case RecordType::kSharedMemory:
      return context_->shared_objects().create(TRY(image::parse_as<image::SharedMemory>(record)));
    case RecordType::kIpc:
      ipc_ = TRY(image::parse_as<image::Ipc>(record));
      sysv_ = TRY(engine::SysvObjects::create(*context_, ipc_));
      return {};
    case RecordType::kTmpfs: return tmpfs_->apply(record);
    case RecordType::kFileContent: return engine::apply_content(*context_, record);
    case RecordType::kFile: {
      auto file = TRY(image::parse_as<image::File>(record));
      uint32_t id = file.id();
      context_->files().insert_or_assign(id, std::move(file));
      return {};
    }
    case RecordType::kAddressSpace:
      return build_space(TRY(image::parse_as<image::AddressSpace>(record)));
    case RecordType::kPages:
    case RecordType::kZeroPages: return fill(record);
    case RecordType::kEndOfAddressSpace: return {};
    default:
      return fail(Code::kBadImage,
                  fmt::format("unexpected record of type {}", static_cast<int>(record.type)));
  }
}

Result<void> GroupBuilder::begin(const image::Tree& tree) {
  tree_ = tree;
  TRY(check_tree());
  int root_pid = tree_.processes(0).pid();
  if (!sandbox_.control.valid()) {
    engine::Stub stub = TRY(engine::start_stub(root_pid));
    sandbox_.stub = stub.pid;
    sandbox_.control = std::move(stub.control);
  }
  root_ = sandbox_.stub;
  arena_ = std::make_unique<engine::Arena>(TRY(
      engine::Arena::create_shared(TargetAddr(tree_.work_area()), engine::kRestoreArenaDataSize)));
  channel_ = std::make_unique<engine::DescriptorChannel>(std::move(sandbox_.control), 3);
  context_ = std::make_unique<engine::ApplyContext>(root_, sandbox_.external_files);
  tmpfs_ = std::make_unique<engine::TmpfsRestore>(*context_);
  spaces_ = std::make_unique<engine::SpaceBuilder>(*context_, *channel_);
  for (const image::Process& process : tree_.processes())
    if (!process.zombie()) members_[process.pid()].process = &process;
  engine::Stub stub{root_, Fd()};
  members_.at(root_pid).tasks.push_back(
      TRY(engine::take_stub(stub, NsPid(root_pid), *arena_, *channel_, highest_descriptor(tree_))));
  return {};
}

Result<void> GroupBuilder::check_tree() const {
  std::set<int32_t> seen;
  std::set<int32_t> tids;
  bool first = true;
  for (const image::Process& process : tree_.processes()) {
    bool sound = process.pid() > 0 && seen.insert(process.pid()).second &&
                 (first ? !process.zombie() : seen.contains(process.parent())) &&
                 (process.zombie() || process.threads_size() > 0);
    for (const image::Thread& thread : process.threads())
      sound = sound && thread.tid() > 0 && tids.insert(thread.tid()).second;
    if (!process.zombie() && sound) sound = process.threads(0).tid() == process.pid();
    if (!sound)
      return fail(Code::kBadImage, fmt::format("process {} is not possible", process.pid()));
    first = false;
  }
  if (first) return fail(Code::kBadImage, "the image holds no process");
  return {};
}

Result<GroupBuilder::Member*> GroupBuilder::member(int32_t pid) {
  auto found = members_.find(pid);
  if (found == members_.end()) return fail(Code::kBadImage, fmt::format("no process {}", pid));
  return &found->second;
}

Result<void> GroupBuilder::prepare_files() {
  if (files_ready_) return {};
  files_ready_ = true;
  TRY(context_->shared_objects().finish());
  return engine::create_files(*context_);
}

// The address space of a process comes when those of its ancestors are complete, so that a fork of
// its parent brings along the pages they share.
Result<void> GroupBuilder::build_space(image::AddressSpace space) {
  TRY(prepare_files());
  auto pid = static_cast<int32_t>(space.process());
  Member* owner = TRY(member(pid));
  if (owner->space) return fail(Code::kBadImage, fmt::format("process {} comes twice", pid));
  if (owner->tasks.empty()) owner->tasks.push_back(TRY(make_process(*owner)));
  const image::AddressSpace* parent_space = nullptr;
  auto parent = members_.find(owner->process->parent());
  if (parent != members_.end() && parent->second.space) parent_space = &*parent->second.space;
  owner->space = std::move(space);
  order_.push_back(pid);
  ++stats_.processes;
  return in_context(spaces_->build(owner->leader(), *owner->space, parent_space),
                    name_of(*owner->process));
}

Result<Task> GroupBuilder::make_process(Member& member) {
  Member* parent = TRY(this->member(member.process->parent()));
  if (parent->tasks.empty())
    return fail(Code::kBadImage,
                fmt::format("process {} comes before its parent", member.process->pid()));
  int32_t session = member.process->session();
  bool in_parents_session = session == parent->process->session();
  if (!in_parents_session && session != member.process->pid() && !members_.contains(session) &&
      session != tree_.processes(0).session())
    return make_orphan(*parent, *member.process);
  if (in_parents_session || parent->process->session() != parent->process->pid())
    TRY(start_session(*parent));
  return engine::fork_process(parent->leader(), *member.process);
}

// The leader of the process's session has ended, and with it the process came to its present
// parent. A stand-in for the leader lets the same happen again.
Result<Task> GroupBuilder::make_orphan(Member& parent, const image::Process& process) {
  auto leader = stand_ins_.find(process.session());
  if (leader == stand_ins_.end()) {
    image::Process stand_in;
    stand_in.set_pid(process.session());
    Task task = TRY(engine::fork_process(parent.leader(), stand_in));
    TRY(task.call("start session", SYS_setsid, {}));
    leader = stand_ins_.emplace(process.session(), StandIn{std::move(task), &parent}).first;
  }
  return engine::fork_process(leader->second.task, process);
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

Result<void> GroupBuilder::fill(const image::Record& record) {
  image::PageRun run = TRY(image::parse_run(record));
  stats_.memory_bytes += record.body.size();
  if ((run.flags & image::PageRun::kSharedMemoryOwner) != 0)
    return context_->shared_objects().fill(run, record.body);
  Member* owner = TRY(member(static_cast<int32_t>(run.owner)));
  if (!owner->space) return fail(Code::kBadImage, "pages come before their address space");
  uint64_t work_end = arena_->code().value + engine::kWorkAreaSize;
  if (run.address < work_end && run.address + run.length > arena_->code().value)
    return fail(Code::kBadImage, "pages lie outside of the address space");
  HostPid pid = owner->leader().host_pid();
  if (record.type == RecordType::kZeroPages) return engine::fill_zero_pages(pid, run);
  return engine::fill_pages(pid, run, record.body);
}

Result<void> GroupBuilder::finish() {
  if (order_.size() != members_.size())
    return fail(Code::kBadImage, "the image lacks an address space");
  auto each = [&](Result<void> (GroupBuilder::*step)(Member&)) -> Result<void> {
    for (int32_t pid : order_) {
      Member& current = members_.at(pid);
      TRY_IN((this->*step)(current), name_of(*current.process));
    }
    return {};
  };
  TRY(sysv_.remove_marked(*context_, ipc_));
  TRY(each(&GroupBuilder::start_session));
  TRY(make_zombies());
  TRY(each(&GroupBuilder::equip));
  TRY(engine::complete_files(*context_, tree_.processes(), [&](int32_t pid) -> Task* {
    auto found = members_.find(pid);
    return found == members_.end() ? nullptr : &found->second.leader();
  }));
  TRY(tmpfs_->finish());
  TRY(each(&GroupBuilder::join_group));
  TRY(dismiss_stand_ins());
  TRY(each(&GroupBuilder::set_process_state));
  TRY(each(&GroupBuilder::set_credentials));
  return each(&GroupBuilder::release);
}

Result<void> GroupBuilder::make_zombies() {
  for (const image::Process& process : tree_.processes()) {
    if (!process.zombie()) continue;
    Member* parent = TRY(member(process.parent()));
    TRY_IN(engine::create_zombie(parent->leader(), process), name_of(process));
  }
  return {};
}

Result<void> GroupBuilder::equip(Member& member) {
  const image::Process& process = *member.process;
  Task& leader = member.leader();
  Program program(*arena_);
  program.call("change to working directory", SYS_chdir,
               {program.put_string(process.working_directory().path())});
  if (process.root_directory().path() != "/")
    program.call("change root directory", SYS_chroot,
                 {program.put_string(process.root_directory().path())});
  program.call("set umask", SYS_umask, {process.umask()});
  program.call("set personality", SYS_personality, {process.personality()});
  if (process.child_subreaper())
    program.call("become subreaper", SYS_prctl, {PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0});
  TRY(leader.run(program));
  TRY(spaces_->finish(leader, *member.space));
  TRY(engine::install_descriptors(*context_, *channel_, leader, process));
  TRY(engine::apply_signal_actions(leader, process));
  for (int i = 1; i < process.threads_size(); ++i) {
    Task thread = TRY(engine::create_thread(member.leader(), NsPid(process.threads(i).tid())));
    member.tasks.push_back(std::move(thread));
  }
  for (Task& task : member.tasks) task.set_done_signal(engine::unused_signal(process));
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(engine::apply_thread(member.tasks[static_cast<size_t>(i)], process.threads(i)));
  stats_.threads += member.tasks.size();
  return {};
}

// A member whose group's leader has ended joins a stand-in with the leader's PID, which ends when
// all have joined. A group from outside of a plain process tree becomes the root's.
Result<void> GroupBuilder::join_group(Member& member) {
  const image::Process& process = *member.process;
  if (process.session() == process.pid() || &process == &tree_.processes(0)) return {};
  int32_t group = process.group();
  auto leader = members_.find(group);
  if (leader != members_.end()) {
    if (leader->second.process->session() != group)
      TRY(leader->second.leader().call("start process group", SYS_setpgid, {0, 0}));
  } else if (group == tree_.processes(0).group() || group <= 0) {
    return {};
  } else if (!stand_ins_.contains(group)) {
    image::Process stand_in;
    stand_in.set_pid(group);
    Task task = TRY(engine::fork_process(member.leader(), stand_in));
    TRY(task.call("start process group", SYS_setpgid, {0, 0}));
    stand_ins_.emplace(group, StandIn{std::move(task), &member});
  }
  TRY(member.leader().call("join process group", SYS_setpgid, {0, group}));
  return {};
}

Result<void> GroupBuilder::dismiss_stand_ins() {
  for (auto& [group, stand_in] : stand_ins_) {
    Program program(*arena_);
    program.call("end", SYS_exit_group, {0});
    TRY(stand_in.task.run_to_end(program));
    TRY(stand_in.parent->leader().call("reap", SYS_wait4, {group, 0, __WALL, 0}));
  }
  stand_ins_.clear();
  return {};
}

Result<void> GroupBuilder::set_process_state(Member& member) {
  const image::Process& process = *member.process;
  Task& leader = member.leader();
  TRY(engine::apply_posix_timers(leader, process));
  TRY(engine::apply_process_pending(leader, process));
  if (process.oom_score_adj() != 0)
    TRY(write_file(sys::proc_path(leader.host_pid(), "oom_score_adj"),
                   std::to_string(process.oom_score_adj())));
  return in_context(engine::apply_limits(leader, process), "resource limits");
}

Result<void> GroupBuilder::set_credentials(Member& member) {
  const image::Process& process = *member.process;
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(engine::apply_credentials(member.tasks[static_cast<size_t>(i)],
                                  process.threads(i).credentials()));
  // A change of credentials resets these two.
  for (int i = 0; i < process.threads_size(); ++i)
    if (uint32_t signal = process.threads(i).parent_death_signal())
      TRY(member.tasks[static_cast<size_t>(i)].call("set parent-death signal", SYS_prctl,
                                                    {PR_SET_PDEATHSIG, signal, 0, 0, 0}));
  if (member.space->dumpable() <= 1)
    TRY(member.leader().call("set dumpable", SYS_prctl,
                             {PR_SET_DUMPABLE, member.space->dumpable(), 0, 0, 0}));
  return {};
}

Result<void> GroupBuilder::release(Member& member) {
  const image::Process& process = *member.process;
  Program program(*arena_);
  program.call("close control socket", SYS_close, {channel_->number()});
  engine::apply_interval_timers(program, process);
  TRY(member.leader().run(program));
  TRY(engine::drop_arena(member.leader()));
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(engine::load_registers(member.tasks[static_cast<size_t>(i)], process.threads(i)));
  return {};
}

Result<void> GroupBuilder::resume() {
  for (auto& [pid, member] : members_)
    for (Task& task : member.tasks) TRY(task.tracee().set_death(sys::Death::kGoOn));
  running_ = true;
  sysv_.keep();
  engine::files_go_live(*context_);
  for (auto& [pid, member] : members_) {
    // Waits as a pending signal until the process is let go; a detach delivers none from this stop.
    if (member.process->stopped()) ::kill(member.leader().host_pid().value, SIGSTOP);
    for (Task& task : member.tasks) {
      auto detached = task.tracee().detach();
      if (!detached && detached.error().code() != Code::kGone)
        spdlog::error("process {}: {}", pid, detached.error().to_string());
    }
  }
  context_.reset();
  return {};
}

void GroupBuilder::kill_all() {
  for (auto& [pid, member] : members_)
    if (!member.tasks.empty()) ::kill(member.leader().host_pid().value, SIGKILL);
  if (root_.value != 0) ::kill(root_.value, SIGKILL);
  for (auto& [pid, member] : members_) {
    for (size_t i = member.tasks.size(); i-- > 0;) {
      sys::Tracee& tracee = member.tasks[i].tracee();
      while (tracee.tid().value != 0) {
        auto stop = tracee.wait();
        if (!stop || stop->kind == sys::Stop::Kind::kExited) tracee.forget();
      }
    }
  }
  if (root_.value != 0) ::waitpid(root_.value, nullptr, WNOHANG);
}

}  // namespace martlet::checkpoint
