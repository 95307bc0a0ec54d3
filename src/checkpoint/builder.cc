#include "checkpoint/builder.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "checkpoint/host_facts.h"
#include "engine/files/unlinked_file.h"
#include "engine/ipc/posix_queues.h"
#include "engine/memory/missing_pages.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/seccomp.h"

namespace martlet::checkpoint {
namespace {

using engine::Task;
using image::RecordType;

bool is_of_file(const image::Mapping& mapping) {
  return mapping.kind() == image::MAPPING_PRIVATE_FILE ||
         mapping.kind() == image::MAPPING_SHARED_FILE;
}

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

// Between the control socket and the highest descriptor that a group has when its first memory is
// sent; if it opens more until it is captured, the socket moves.
constexpr int kSpareDescriptors = 16;

}  // namespace

int32_t creator_of(const image::Process& process) {
  return process.creator() != 0 ? process.creator() : process.parent();
}

std::string name_of(const image::Process& process) {
  return fmt::format("process {} ({})", process.pid(),
                     process.threads_size() > 0 ? process.threads(0).name() : "");
}

Error impossible(const image::Process& process) {
  return Error(Code::kBadImage, fmt::format("process {} is not possible", process.pid()));
}

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
    case RecordType::kTmpfs: return tmpfs_->stage(record);
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
      if (!is_container_) return fail(Code::kBadImage, "a process tree has no mounts of its own");
      Member& root = members_.at(tree_.processes(0).pid());
      return mounts_->apply(root.leader(), *channel_, TRY(image::parse_as<image::Mounts>(record)));
    }
    case RecordType::kCgroups:
      if (!is_container_) return fail(Code::kBadImage, "a process tree has no cgroups of its own");
      cgroups_ = TRY(
          engine::InnerCgroups::create(*context_, TRY(image::parse_as<image::Cgroups>(record))));
      return {};
    case RecordType::kNetwork: {
      image::NetworkNamespaces networks;
      *networks.mutable_of_root() = TRY(image::parse_as<image::Network>(record));
      return make_networks(networks);
    }
    case RecordType::kNetworkNamespaces:
      return make_networks(TRY(image::parse_as<image::NetworkNamespaces>(record)));
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
    case RecordType::kAioContexts:
      return note_aio_contexts(TRY(image::parse_as<image::AioContexts>(record)));
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
  time_namespaces_ = TRY(engine::TimeNamespacesRestore::create(root, tree_, *channel_));
  return {};
}

Result<void> GroupBuilder::make_networks(const image::NetworkNamespaces& networks) {
  if (!is_container_) return fail(Code::kBadImage, "a process tree has no network of its own");
  if (std::exchange(has_networks_, true)) return fail(Code::kBadImage, "the networks come twice");
  TRY(make_user_namespaces());
  networks_ = TRY(engine::NetworkNamespaces::make(*context_, *user_namespaces_, networks));
  return {};
}

Result<void> GroupBuilder::make_user_namespaces() {
  if (!user_namespaces_) user_namespaces_ = TRY(engine::UserNamespacesRestore::make(tree_));
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
  ::kill(leader.host_pid().value, SIGKILL);
  std::array<sys::Tracee*, 1> killed = {&leader.tracee()};
  sys::reap_killed(killed);
  Member* parent = TRY(this->member(member.parent));
  return engine::reap_child(parent->leader(), leader.numbers(), member.exit_signal);
}

Result<void> GroupBuilder::check_tree(const image::Tree& tree) const {
  std::map<int32_t, int32_t> parents;                 // of those seen so far
  std::map<int32_t, const image::Process*> numbered;  // the same
  for (const image::Process& process : tree.processes()) {
    bool first = parents.empty();
    bool is_born_sharing = process.shares_files() || process.shares_directories() ||
                           process.shares_memory() || process.creator() != 0;
    bool sound = process.pid() > 0 && parents.try_emplace(process.pid(), process.parent()).second &&
                 !((first || process.zombie()) && is_born_sharing) &&
                 (first ? !process.zombie() : parents.contains(process.parent())) &&
                 engine::are_numbers_sound(process, numbered) &&
                 !(process.shares_handlers() && !process.shares_memory()) &&
                 !(process.shares_memory() && process.staged() != 0) &&
                 !(first && process.pid_namespace() != 0);
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
                 (process.threads_size() > 0 &&
                  process.has_ended_leader() != (process.threads(0).tid() == process.pid()));
    if (process.has_ended_leader()) sound = sound && tids.insert(process.pid()).second;
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
  TRY(tmpfs_->set_times());
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
  if (owner->process->shares_memory() && space.mappings_size() != 0)
    return std::unexpected(impossible(*owner->process));
  if (owner->tasks.empty()) owner->tasks.push_back(TRY(make_process(*owner)));
  TRY_IN(ipc_namespaces_.enter(owner->leader(), *channel_), name_of(*owner->process));
  TRY_IN(time_namespaces_.enter(owner->leader(), *channel_), name_of(*owner->process));
  auto before = space_before(*owner, &Member::space);
  owner->space = std::move(space);
  order_.push_back(pid);
  ++stats_.processes;
  if (owner->process->shares_memory()) return {};
  TRY_IN(spaces_->build(owner->leader(), *owner->space, before), name_of(*owner->process));
  lanes_->open_space(NsPid(pid), target_of(*owner));
  return {};
}

// What the leader has mapped: from the rounds before, or from the fork of its creator.
engine::SpaceBuilder::Before GroupBuilder::space_before(
    const Member& member, std::optional<image::AddressSpace> Member::* of_creator) const {
  if (member.staged) return {&*member.staged, engine::Lineage::kSelf};
  auto creator = members_.find(creator_of(*member.process));
  while (creator != members_.end() && creator->second.process->shares_memory())
    creator = members_.find(creator_of(*creator->second.process));
  if (creator == members_.end() || !(creator->second.*of_creator)) return {};
  return {&*(creator->second.*of_creator), engine::Lineage::kFork};
}

engine::FillTarget GroupBuilder::target_of(Member& member) const {
  uint64_t work_area = arena_->code().value;
  return {member.leader().host_pid(), {work_area, work_area + engine::kWorkAreaSize}};
}

// The mappings of a member at the beginning of a round. The task keeps what it has of them. None is
// of a file: the file sync has not ended.
Result<void> GroupBuilder::stage_space(image::AddressSpace space) {
  auto pid = static_cast<int32_t>(space.process());
  if (std::ranges::any_of(space.mappings(), is_of_file))
    return fail(Code::kBadImage, "a mapping of a file before the tree");
  Member* owner = TRY(member(pid));
  if (owner->process->shares_memory()) return std::unexpected(impossible(*owner->process));
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

Result<void> GroupBuilder::fill(const image::Record& record) {
  image::PageRun run = TRY(image::parse_run(record));
  stats_.memory_bytes += record.body.size();
  if ((run.flags & image::PageRun::kSharedMemoryOwner) != 0)
    return staging_ ? context_->shared_objects().fill_staged(run, record.body)
                    : context_->shared_objects().fill(run, record.body);
  Member* owner = TRY(member(static_cast<int32_t>(run.owner)));
  if ((!owner->space && !owner->staged) || owner->process->shares_memory())
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

Result<void> GroupBuilder::note_aio_contexts(image::AioContexts contexts) {
  Member* owner = TRY(member(static_cast<int32_t>(contexts.process())));
  owner->aio_contexts = std::move(contexts);
  return {};
}

void GroupBuilder::kill_all() {
  for (auto& [pid, member] : members_)
    if (!member.tasks.empty()) ::kill(member.leader().host_pid().value, SIGKILL);
  for (auto& [pid, stand_in] : stand_ins_) ::kill(stand_in.task.host_pid().value, SIGKILL);
  if (root_.value != 0) ::kill(root_.value, SIGKILL);
  std::vector<sys::Tracee*> killed;
  for (auto& [pid, member] : members_)
    for (Task& task : member.tasks) killed.push_back(&task.tracee());
  for (auto& [pid, member] : members_)
    if (member.ending_leader) killed.push_back(&member.ending_leader->tracee());
  for (auto& [pid, stand_in] : stand_ins_) killed.push_back(&stand_in.task.tracee());
  sys::reap_killed(killed);
  if (root_.value != 0) ::waitpid(root_.value, nullptr, WNOHANG);
}

}  // namespace martlet::checkpoint
