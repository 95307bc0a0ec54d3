#include "checkpoint/builder.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "base/log.h"
#include "checkpoint/host_facts.h"
#include "engine/files/file_locks.h"
#include "engine/files/unlinked_file.h"
#include "engine/ipc/posix_queues.h"
#include "engine/ipc/sysv_undo.h"
#include "engine/memory/missing_pages.h"
#include "engine/mounts/mount_namespaces.h"
#include "engine/network/own_network.h"
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
namespace {

using engine::Program;
using engine::Task;
using image::RecordType;

int highest_descriptor(const image::Tree& tree) {
  int highest = -1;
  auto look_at = [&](const engine::Descriptors& descriptors) {
    for (const image::Descriptor& descriptor : descriptors)
      highest = std::max(highest, descriptor.fd());
  };
  for (const image::Process& process : tree.processes()) {
    look_at(process.descriptors());
    for (const image::Thread& thread : process.threads()) look_at(thread.own_files().descriptors());
  }
  return highest;
}

int32_t creator_of(const image::Process& process) {
  return process.creator() != 0 ? process.creator() : process.parent();
}

image::Directories directories_of(const image::Process& process) {
  image::Directories directories;
  *directories.mutable_working() = process.working_directory();
  *directories.mutable_root() = process.root_directory();
  directories.set_umask(process.umask());
  directories.set_removed_working(process.removed_working_directory());
  return directories;
}

std::string name_of(const image::Process& process) {
  return fmt::format("process {} ({})", process.pid(),
                     process.threads_size() > 0 ? process.threads(0).name() : "");
}

Error impossible(const image::Process& process) {
  return Error(Code::kBadImage, fmt::format("process {} is not possible", process.pid()));
}

// Between the control socket and the highest descriptor that a group has when its first memory is
// sent; if it opens more until it is captured, the socket moves.
constexpr int kSpareDescriptors = 16;

}  // namespace

GroupBuilder::~GroupBuilder() {
  lanes_.reset();  // its threads write into the tasks
  if (!running_) kill_all();
}

Result<void> GroupBuilder::build(image::Source& source, std::vector<engine::PageLane> lanes) {
  SystemClock clock;
  Stopwatch watch(clock);
  TRY(read_records(source, std::move(lanes)));
  TRY(finish());
  stats_.build_seconds = watch.seconds();
  return {};
}

Result<void> GroupBuilder::read_records(image::Source& source,
                                        std::vector<engine::PageLane> lanes) {
  auto header = TRY(image::parse_as<image::Header>(TRY(source.next())));
  TRY(check_header(header));
  if (lanes.size() != header.page_lanes())
    return fail(Code::kBadImage, fmt::format("the image has {} page lanes, and {} are given",
                                             header.page_lanes(), lanes.size()));
  for (;;) {
    image::Record record = TRY(next_record(source));
    if (record.type == RecordType::kTree) {
      TRY(begin(TRY(image::parse_as<image::Tree>(record))));
      break;
    }
    TRY(read_ahead(record));
  }
  lanes_ = std::make_unique<engine::LaneReader>(std::move(lanes), header.image_id());
  for (;;) {
    image::Record record = TRY(next_record(source));
    if (record.type == RecordType::kEnd) break;
    TRY(read_record(record));
  }
  stats_.memory_bytes += TRY(lanes_->finish());
  return {};
}

// Pages are all in place before anything else is read.
Result<image::Record> GroupBuilder::next_record(image::Source& source) {
  image::Record record = TRY(source.next());
  if (record.type != RecordType::kPages && record.type != RecordType::kZeroPages)
    TRY(filler_.flush());
  return record;
}

Result<void> GroupBuilder::read_ahead(const image::Record& record) {
  if (!staging_ && record.type != RecordType::kHeader && record.type != RecordType::kRound)
    return fail(Code::kBadImage, fmt::format("record of type {} before the first round",
                                             static_cast<int>(record.type)));
  switch (record.type) {
    case RecordType::kHeader: return check_header(TRY(image::parse_as<image::Header>(record)));
    case RecordType::kRound: return begin_round(TRY(image::parse_as<image::Round>(record)));
    case RecordType::kSharedMemory:
      return context_->shared_objects().stage(TRY(image::parse_as<image::SharedMemory>(record)));
    case RecordType::kAddressSpace:
      return stage_space(TRY(image::parse_as<image::AddressSpace>(record)));
    case RecordType::kPages:
    case RecordType::kZeroPages: return fill(record);
    default:
      return fail(Code::kBadImage,
                  fmt::format("record of type {} before the tree", static_cast<int>(record.type)));
  }
}

Result<void> GroupBuilder::read_record(const image::Record& record) {
  switch (record.type) {
    case RecordType::kSharedMemory:
      return context_->shared_objects().create(TRY(image::parse_as<image::SharedMemory>(record)));
    case RecordType::kIpc: return create_ipc(TRY(image::parse_as<image::Ipc>(record)));
    case RecordType::kMounts: {
      Member& root = members_.at(tree_.processes(0).pid());
      return mounts_->apply(root.leader(), TRY(image::parse_as<image::Mounts>(record)));
    }
    case RecordType::kCgroups:
      if (!is_container_) return fail(Code::kBadImage, "a process tree has no cgroups of its own");
      cgroups_ = TRY(
          engine::InnerCgroups::create(*context_, TRY(image::parse_as<image::Cgroups>(record))));
      return {};
    case RecordType::kNetwork:
      if (!is_container_) return fail(Code::kBadImage, "a process tree has no network of its own");
      return in_context(
          engine::apply_own_network(*context_, TRY(image::parse_as<image::Network>(record))),
          "network");
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
    case RecordType::kMissingPages: return note_missing(record);
    case RecordType::kGuardPages: return note_guard(record);
    case RecordType::kEndOfAddressSpace: return lanes_->finish_space();
    default:
      return fail(Code::kBadImage,
                  fmt::format("unexpected record of type {}", static_cast<int>(record.type)));
  }
}

Result<void> GroupBuilder::create_ipc(image::Ipc ipc) {
  ipc_ = std::move(ipc);
  sysv_ = TRY(engine::SysvObjects::create(*context_, ipc_));
  TRY(engine::create_posix_queues(*context_, ipc_));
  Task& root = members_.at(tree_.processes(0).pid()).leader();
  ipc_namespaces_ = TRY(engine::IpcNamespaces::create(*context_, root, *channel_, ipc_));
  return {};
}

Result<void> GroupBuilder::begin_round(image::Round round) {
  TRY(check_tree(round.tree()));
  bool first = !std::exchange(staging_, true);
  if (!first && (round.tree().work_area() != tree_.work_area() ||
                 round.tree().processes(0).pid() != tree_.processes(0).pid()))
    return fail(Code::kBadImage, "a round is of another group");
  tree_ = std::move(*round.mutable_tree());
  if (first) TRY(open_sandbox(round.highest_descriptor() + kSpareDescriptors));
  context_->shared_objects().keep_staged(
      std::vector<uint32_t>(round.shared_memory().begin(), round.shared_memory().end()));
  return adopt_members();
}

Result<void> GroupBuilder::begin(image::Tree tree) {
  TRY(check_tree(tree));
  TRY(check_threads(tree));
  if (staging_ && (tree.work_area() != tree_.work_area() ||
                   tree.processes(0).pid() != tree_.processes(0).pid()))
    return fail(Code::kBadImage, "the tree is not of the group that was sent ahead");
  tree_ = std::move(tree);
  if (!staging_) {
    TRY(open_sandbox(highest_descriptor(tree_)));
    return adopt_members();
  }
  TRY(adopt_members());
  staging_ = false;
  spaces_->forget_files();
  std::vector<Task*> leaders;
  for (int32_t pid : staged_order_) leaders.push_back(&members_.at(pid).leader());
  return channel_->move_above(leaders, highest_descriptor(tree_));
}

Result<void> GroupBuilder::open_sandbox(int highest_descriptor) {
  int root_pid = tree_.processes(0).pid();
  processor_ = ::sched_getcpu();
  processors_ = TRY(sys::allowed_processors(sandbox_.stub));
  sys::OnProcessor here(processor_);
  is_container_ = sandbox_.control.valid();
  if (is_container_) {
    std::ignore = sys::allow_processors(sandbox_.stub, sys::only_processor(processor_));
  } else {
    engine::Stub stub = TRY(engine::start_stub(root_pid));
    sandbox_.stub = stub.pid;
    sandbox_.control = std::move(stub.control);
  }
  root_ = sandbox_.stub;
  arena_ = std::make_unique<engine::Arena>(TRY(
      engine::Arena::create_shared(TargetAddr(tree_.work_area()), engine::kRestoreArenaDataSize)));
  channel_ = std::make_unique<engine::DescriptorChannel>(std::move(sandbox_.control), 3);
  context_ = std::make_unique<engine::ApplyContext>(root_, sandbox_.external_files);
  mounts_ = std::make_unique<engine::MountsRestore>(*context_);
  tmpfs_ = std::make_unique<engine::TmpfsRestore>(*context_);
  spaces_ = std::make_unique<engine::SpaceBuilder>(*context_, *channel_);
  engine::Stub stub{root_, Fd()};
  Member& root = members_[root_pid];
  root.number = tree_.processes(0).staged();
  root.tasks.push_back(
      TRY(engine::take_stub(stub, NsPid(root_pid), *arena_, *channel_, highest_descriptor)));
  staged_order_.push_back(root_pid);
  return {};
}

Result<void> GroupBuilder::adopt_members() {
  std::map<int32_t, const image::Process*> wanted;
  for (const image::Process& process : tree_.processes())
    if (!process.zombie()) wanted[process.pid()] = &process;
  int32_t root_pid = tree_.processes(0).pid();
  // Children were made after their parents, and end before them.
  for (size_t i = staged_order_.size(); i-- > 0;) {
    int32_t pid = staged_order_[i];
    auto process = wanted.find(pid);
    bool stays = process != wanted.end() && process->second->staged() == members_.at(pid).number;
    if (stays || pid == root_pid) continue;
    TRY(dismiss(members_.at(pid)));
    members_.erase(pid);
    staged_order_.erase(staged_order_.begin() + static_cast<ptrdiff_t>(i));
  }
  std::erase_if(members_, [&](const auto& entry) {
    return entry.second.tasks.empty() && !wanted.contains(entry.first);
  });
  for (auto [pid, process] : wanted) {
    Member& member = members_[pid];
    member.process = process;
    member.parent = process->parent();
    member.exit_signal = static_cast<int>(process->exit_signal());
    if (std::exchange(member.number, process->staged()) != process->staged()) member.staged.reset();
  }
  return {};
}

// The task ends and its parent, which waits under ptrace like all others, takes note of it.
Result<void> GroupBuilder::dismiss(Member& member) {
  Task& leader = member.leader();
  pid_t pid = leader.process().value;
  ::kill(leader.host_pid().value, SIGKILL);
  std::array<sys::Tracee*, 1> killed = {&leader.tracee()};
  sys::reap_killed(killed);
  Member* parent = TRY(this->member(member.parent));
  return engine::reap_child(parent->leader(), NsPid(pid), member.exit_signal);
}

Result<void> GroupBuilder::check_tree(const image::Tree& tree) const {
  std::map<int32_t, int32_t> parents;  // of those seen so far
  for (const image::Process& process : tree.processes()) {
    bool first = parents.empty();
    bool is_born_sharing =
        process.shares_files() || process.shares_directories() || process.creator() != 0;
    bool sound = process.pid() > 0 && parents.try_emplace(process.pid(), process.parent()).second &&
                 !((first || process.zombie()) && is_born_sharing) &&
                 (first ? !process.zombie() : parents.contains(process.parent()));
    if (auto creator = parents.find(process.creator()); process.creator() != 0)
      sound = sound && creator != parents.end() && creator->second == process.parent() &&
              process.creator() != process.pid();
    if (!sound) return std::unexpected(impossible(process));
  }
  if (parents.empty()) return fail(Code::kBadImage, "the image holds no process");
  return {};
}

Result<void> GroupBuilder::check_threads(const image::Tree& tree) const {
  std::set<int32_t> tids;
  for (const image::Process& process : tree.processes()) {
    bool sound = process.zombie() ||
                 (process.threads_size() > 0 && process.threads(0).tid() == process.pid());
    std::set<int32_t> before;
    for (const image::Thread& thread : process.threads()) {
      bool is_apart = thread.has_own_files() || thread.has_own_directories();
      sound = sound && thread.tid() > 0 && tids.insert(thread.tid()).second &&
              (thread.creator() == 0 || before.contains(thread.creator())) &&
              !(before.empty() && is_apart);
      before.insert(thread.tid());
    }
    if (!sound) return std::unexpected(impossible(process));
  }
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
  sys::OnProcessor here(processor_);
  Member* owner = TRY(member(pid));
  if (owner->space) return fail(Code::kBadImage, fmt::format("process {} comes twice", pid));
  if (owner->tasks.empty()) owner->tasks.push_back(TRY(make_process(*owner)));
  TRY_IN(ipc_namespaces_.enter(owner->leader(), *channel_), name_of(*owner->process));
  auto before = space_before(*owner, &Member::space);
  owner->space = std::move(space);
  order_.push_back(pid);
  ++stats_.processes;
  TRY_IN(spaces_->build(owner->leader(), *owner->space, before), name_of(*owner->process));
  lanes_->open_space(NsPid(pid), target_of(*owner));
  return {};
}

// What the leader has mapped: from the rounds before, or from the fork of its creator.
engine::SpaceBuilder::Before GroupBuilder::space_before(
    const Member& member, std::optional<image::AddressSpace> Member::* of_creator) const {
  if (member.staged) return {&*member.staged, engine::Lineage::kSelf};
  auto creator = members_.find(creator_of(*member.process));
  if (creator == members_.end() || !(creator->second.*of_creator)) return {};
  return {&*(creator->second.*of_creator), engine::Lineage::kFork};
}

engine::FillTarget GroupBuilder::target_of(Member& member) const {
  uint64_t work_area = arena_->code().value;
  return {member.leader().host_pid(), {work_area, work_area + engine::kWorkAreaSize}};
}

// The mappings of a member at the beginning of a round. The task keeps what it has of them.
Result<void> GroupBuilder::stage_space(image::AddressSpace space) {
  auto pid = static_cast<int32_t>(space.process());
  Member* owner = TRY(member(pid));
  if (owner->tasks.empty()) {
    owner->tasks.push_back(TRY(make_process(*owner)));
    staged_order_.push_back(pid);
  }
  if (owner->staged && space.vdso().empty()) space.set_vdso(owner->staged->vdso());
  auto before = space_before(*owner, &Member::staged);
  TRY_IN(spaces_->build(owner->leader(), space, before), name_of(*owner->process));
  owner->staged = std::move(space);
  return {};
}

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
  return engine::fork_process(creator->leader(), process);
}

// The leader of the process's session has ended, and with it the process came to its present
// parent. A stand-in for the leader lets the same happen again.
Result<Task> GroupBuilder::make_orphan(Member& parent, const image::Process& process) {
  if (process.shares_files() || process.shares_directories() || process.creator() != 0)
    return std::unexpected(impossible(process));
  auto leader = stand_ins_.find(process.session());
  if (leader == stand_ins_.end()) {
    image::Process stand_in;
    stand_in.set_pid(process.session());
    Task task = TRY(engine::fork_process(parent.leader(), stand_in));
    TRY(task.call("start session", SYS_setsid, {}));
    leader =
        stand_ins_.emplace(process.session(), StandIn{std::move(task), &parent, nullptr}).first;
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

Result<void> GroupBuilder::set_foreground_groups() {
  for (const image::ControllingTerminal& terminal : tree_.terminals()) {
    Member* leader = TRY(member(terminal.session()));
    TRY_IN(engine::set_foreground_group(*context_, *channel_, leader->leader(), terminal),
           "terminal " + terminal.terminal());
  }
  return {};
}

Result<void> GroupBuilder::fill(const image::Record& record) {
  image::PageRun run = TRY(image::parse_run(record));
  stats_.memory_bytes += record.body.size();
  if ((run.flags & image::PageRun::kSharedMemoryOwner) != 0)
    return staging_ ? context_->shared_objects().fill_staged(run, record.body)
                    : context_->shared_objects().fill(run, record.body);
  Member* owner = TRY(member(static_cast<int32_t>(run.owner)));
  if (!owner->space && !owner->staged)
    return fail(Code::kBadImage, "pages come before their address space");
  return filler_.add(target_of(*owner), run, record);
}

Result<void> GroupBuilder::note_missing(const image::Record& record) {
  image::PageRun run = TRY(image::parse_run(record));
  Member* owner = TRY(member(static_cast<int32_t>(run.owner)));
  sys::Range range{run.address, run.address + run.length};
  if (scope_ != MemoryScope::kUrgent)
    return fail(Code::kBadImage, "pages are missing in the image");
  if (run.flags != 0 || !owner->space || !engine::may_be_missing(*owner->space, range) ||
      (!owner->missing.empty() && range.start < owner->missing.back().end))
    return fail(Code::kBadImage, "missing pages at an impossible place");
  owner->missing.push_back(range);
  return {};
}

Result<void> GroupBuilder::note_guard(const image::Record& record) {
  image::PageRun run = TRY(image::parse_run(record));
  Member* owner = TRY(member(static_cast<int32_t>(run.owner)));
  sys::Range range{run.address, run.address + run.length};
  bool known = owner->space && std::ranges::any_of(owner->space->mappings(), [&](const auto& in) {
                 return in.start() <= range.start && range.end <= in.end();
               });
  if (run.flags != 0 || !known) return fail(Code::kBadImage, "guard region at an impossible place");
  owner->guards.push_back(range);
  return {};
}

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
  user_namespaces_ = TRY(engine::UserNamespacesRestore::make(tree_));
  TRY(each(&GroupBuilder::settle));
  TRY(engine::apply_mount_namespaces(tree_, *channel_, leader_of));
  TRY(cgroups_.make_namespaces(*channel_, leader_of));
  TRY(engine::enter_namespaces(tree_, *user_namespaces_, *channel_, leader_of));
  TRY(each(&GroupBuilder::make_threads));
  TRY(engine::create_files_of_tasks(*context_));
  TRY(end_late_zombies());
  TRY(each(&GroupBuilder::equip));
  TRY(engine::complete_files(*context_, table_holders()));
  TRY(tmpfs_->finish());
  TRY(mounts_->finish());
  TRY(set_foreground_groups());
  TRY(dismiss_stand_ins());
  TRY(each(&GroupBuilder::set_process_state));
  TRY(each(&GroupBuilder::set_seccomp));
  TRY(each(&GroupBuilder::set_credentials));
  TRY(each(&GroupBuilder::release));
  TRY(each(&GroupBuilder::catch_missing));
  return cgroups_.finish(*context_);
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

// Before zombies and threads take PIDs that a stand-in may need here.
Result<void> GroupBuilder::create_unix_sockets() {
  std::set<int32_t> before;
  for (const auto& [pid, stand_in] : stand_ins_) before.insert(pid);
  engine::TaskUnixCaller caller(root_, *channel_,
                                [this](int32_t pid) { return task_with_pid(pid); });
  TRY(engine::create_unix_sockets(*context_, caller));
  for (auto stand_in = stand_ins_.begin(); stand_in != stand_ins_.end();) {
    auto current = stand_in++;
    if (before.contains(current->first)) continue;
    TRY(dismiss(current->first, current->second));
    stand_ins_.erase(current);
  }
  return {};
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
    Member* parent = TRY(member(process.parent()));
    const bool own_group =
        process.group() == process.pid() || process.group() != parent->process->group();
    if (process.session() == parent->process->session() && own_group) {
      TRY_IN(make_late_zombie(*parent, process), name_of(process));
      continue;
    }
    HostPid made = TRY_IN(engine::create_zombie(parent->leader(), process), name_of(process));
    context_->set_task(NsPid(process.pid()), made);
  }
  return {};
}

Result<void> GroupBuilder::make_late_zombie(Member& parent, const image::Process& process) {
  Task task = TRY(engine::fork_process(parent.leader(), process));
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
    if (group != pid && (members_.contains(group) || stand_ins_.contains(group)))
      TRY_IN(stand_in.task.call("join process group", SYS_setpgid, {0, group}),
             name_of(*stand_in.zombie));
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
  for (int i = 1; i < process.threads_size(); ++i) {
    Task created = TRY(make_thread(member, process.threads(i)));
    member.tasks.push_back(std::move(created));
  }
  for (const Task& task : member.tasks) context_->set_task(task.tid(), task.host_pid());
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
  TRY(engine::SpaceBuilder::install_guards(leader, member.guards));
  TRY(spaces_->finish(leader, *member.space));
  if (!member.missing.empty()) member.missing_handler = TRY(engine::make_missing_handler(leader));
  return {};
}

Result<void> GroupBuilder::equip(Member& member) {
  const image::Process& process = *member.process;
  Task& leader = member.leader();
  if (member.owns_directories && !enters_user_namespace(process))
    TRY(set_directories(leader, directories_of(process)));
  if (process.child_subreaper())
    TRY(leader.call("become subreaper", SYS_prctl, {PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0}));
  if (member.owns_files) {
    TRY(engine::install_descriptors(*context_, *channel_, leader, process.descriptors()));
    TRY(engine::apply_process_locks(leader, process.locks()));
  }
  TRY(engine::apply_signal_actions(leader, process));
  const int done_signal = engine::unused_signal(process);
  for (Task& task : member.tasks) task.set_done_signal(done_signal);
  for (int i = 0; i < process.threads_size(); ++i)
    TRY(equip_thread(member.tasks[static_cast<size_t>(i)], process.threads(i)));
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
    stand_ins_.emplace(group, StandIn{std::move(task), &member, nullptr});
  }
  TRY(member.leader().call("join process group", SYS_setpgid, {0, group}));
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

Result<void> GroupBuilder::dismiss(int32_t pid, StandIn& stand_in) {
  Program program(*arena_);
  program.call("end", SYS_exit_group, {0});
  TRY(stand_in.task.run_to_end(program));
  TRY(stand_in.parent->leader().call("reap", SYS_wait4, {pid, 0, __WALL, 0}));
  return {};
}

Result<void> GroupBuilder::dismiss_stand_ins() {
  for (auto& [group, stand_in] : stand_ins_) TRY(dismiss(group, stand_in));
  stand_ins_.clear();
  return {};
}

Result<void> GroupBuilder::set_process_state(Member& member) {
  const image::Process& process = *member.process;
  Task& leader = member.leader();
  TRY(engine::apply_posix_timers(leader, process));
  TRY(engine::apply_process_pending(leader, process));
  const image::Ipc* own = ipc_namespaces_.objects_of(process.pid());
  TRY(engine::apply_semaphore_undo(leader, process, own != nullptr ? *own : ipc_));
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
  if (member.space->dumpable() <= 1)  // a change of credentials resets it
    program.call("set dumpable", SYS_prctl, {PR_SET_DUMPABLE, member.space->dumpable(), 0, 0, 0});
  engine::apply_interval_timers(program, process);
  TRY(member.leader().run(program));
  for (int i = 1; i < process.threads_size(); ++i)
    if (process.threads(i).has_own_files())
      TRY(member.tasks[static_cast<size_t>(i)].call("close control socket", SYS_close,
                                                    {channel_->number()}));
  TRY(engine::drop_arena(member.leader()));
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

void GroupBuilder::kill_all() {
  for (auto& [pid, member] : members_)
    if (!member.tasks.empty()) ::kill(member.leader().host_pid().value, SIGKILL);
  for (auto& [pid, stand_in] : stand_ins_) ::kill(stand_in.task.host_pid().value, SIGKILL);
  if (root_.value != 0) ::kill(root_.value, SIGKILL);
  std::vector<sys::Tracee*> killed;
  for (auto& [pid, member] : members_)
    for (Task& task : member.tasks) killed.push_back(&task.tracee());
  for (auto& [pid, stand_in] : stand_ins_) killed.push_back(&stand_in.task.tracee());
  sys::reap_killed(killed);
  if (root_.value != 0) ::waitpid(root_.value, nullptr, WNOHANG);
}

}  // namespace martlet::checkpoint
