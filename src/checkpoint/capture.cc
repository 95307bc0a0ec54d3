#include "checkpoint/capture.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/parallel.h"
#include "checkpoint/host_facts.h"
#include "checkpoint/late_pages.h"
#include "checkpoint/relations.h"
#include "engine/ipc/ipc_namespaces.h"
#include "engine/ipc/posix_queues.h"
#include "engine/ipc/sysv.h"
#include "engine/memory/aio_contexts.h"
#include "engine/memory/layout.h"
#include "engine/memory/pages.h"
#include "engine/mounts/mount_namespaces.h"
#include "engine/mounts/own_mounts.h"
#include "engine/mounts/tmpfs.h"
#include "engine/network/network_namespaces.h"
#include "engine/tasks/creation.h"
#include "engine/tasks/host_names.h"
#include "engine/tasks/namespaces.h"
#include "engine/tasks/pid_namespaces.h"
#include "engine/tasks/process_state.h"
#include "engine/tasks/time_namespaces.h"
#include "engine/tasks/user_namespaces.h"
#include "engine/terminals/controlling.h"
#include "sys/mapping_flags.h"
#include "sys/target_memory.h"
#include "sys/time_namespace.h"

namespace martlet::checkpoint {
namespace {

using engine::FrozenProcess;
using engine::Ranges;

// A zombie leads its session again before it ends. Those who came from it have its own parent now,
// which is made before them.
bool can_lead_session(const FrozenProcess& leader, const std::vector<FrozenProcess>& processes,
                      const std::map<HostPid, NsPid>& sessions) {
  return std::ranges::all_of(processes, [&](const FrozenProcess& process) {
    if (&process == &leader || process.status.ns_sessions.back() != leader.ns_pid) return true;
    auto parent = sessions.find(process.status.parent);
    if (parent == sessions.end()) return false;
    return parent->second == leader.ns_pid ||
           (process.status.parent == leader.status.parent && !process.zombie);
  });
}

// A zombie starts a group in the session that its parent gives it, or in its own.
Result<void> refuse_zombie_leaders(const std::vector<FrozenProcess>& processes) {
  std::map<HostPid, NsPid> sessions;
  for (const auto& process : processes) sessions[process.pid] = process.status.ns_sessions.back();
  for (const auto& leader : processes) {
    if (!leader.zombie) continue;
    auto parent = sessions.find(leader.status.parent);
    bool can_lead =
        leader.status.ns_sessions.back() == leader.ns_pid
            ? can_lead_session(leader, processes, sessions)
            : parent != sessions.end() && parent->second == leader.status.ns_sessions.back();
    auto is_led = [&](const FrozenProcess& process) {
      return &process != &leader && (process.status.ns_sessions.back() == leader.ns_pid ||
                                     process.status.ns_groups.back() == leader.ns_pid);
    };
    const bool leads_root = processes.front().status.ns_groups.back() == leader.ns_pid;
    if ((!can_lead || leads_root) && std::ranges::any_of(processes, is_led))
      return fail(
          Code::kUnsupported,
          fmt::format("process {} has ended, is not reaped and leads the root's group, or a "
                      "session or group of others than its siblings",
                      leader.pid.value));
  }
  return {};
}

// The group of a process that is gone and not reaped by anybody can be made for living members,
// which join it beside a stand-in.
Result<void> refuse_zombies_alone(const std::vector<FrozenProcess>& processes) {
  std::map<HostPid, NsPid> groups;
  for (const auto& process : processes) groups[process.pid] = process.status.ns_groups.back();
  for (const auto& zombie : processes) {
    const NsPid group = zombie.status.ns_groups.back();
    auto parent = groups.find(zombie.status.parent);
    if (!zombie.zombie || (parent != groups.end() && parent->second == group)) continue;
    auto has_it = [&](const FrozenProcess& other) {
      return other.ns_pid == group || (!other.zombie && other.status.ns_groups.back() == group);
    };
    if (std::ranges::none_of(processes, has_it))
      return fail(Code::kUnsupported,
                  fmt::format("process {} has ended, is not reaped and is alone in the group of a "
                              "process that is gone",
                              zombie.pid.value));
  }
  return {};
}

// A mapping is looked at in parts of this size, or in so many.
constexpr uint64_t kLookBytes = 256u << 20;
constexpr uint64_t kMostLooks = 64;

sys::Range range_of(const image::Mapping& mapping) {
  return {mapping.start(), mapping.end()};
}

Ranges parts_to_look_at(sys::Range range) {
  Ranges parts;
  uint64_t largest = std::max(kLookBytes, engine::page_end(range.size() / kMostLooks));
  for (; range.size() > largest; range.start += largest)
    parts.push_back({range.start, range.start + largest});
  parts.push_back(range);
  return parts;
}

std::string name_of(const FrozenProcess& frozen) {
  return fmt::format("process {} ({})", frozen.pid.value, frozen.status.name);
}

}  // namespace

Result<CaptureStats> GroupCapture::run() {
  order_for_restore(processes_);
  TRY(survey());
  TRY(gather());
  TRY(find_pages());
  TRY(write());
  count_objects();
  return stats_;
}

Result<CaptureStats> GroupCapture::check() {
  order_for_restore(processes_);
  TRY(survey());
  TRY(gather());
  TRY(gather_files());
  count_objects();
  return stats_;
}

void GroupCapture::count_objects() {
  stats_.processes = processes_.size();
  for (const auto& process : processes_) stats_.threads += process.threads.size();
  stats_.files = context_.files().size();
}

Result<void> GroupCapture::survey() {
  TRY(context_.judge(refuse_zombie_leaders(processes_)));
  TRY(context_.judge(refuse_zombies_alone(processes_)));
  auto inside = numbers_inside(processes_);
  list_tasks();
  TRY(context_.judge(plan_births()));
  TRY(context_.judge(plan_threads(processes_)));
  TRY(context_.judge(refuse_sharing(processes_)));
  if (ahead_ != nullptr) {
    layouts_.accept_write_tracking();
    ahead_->settle(processes_, births_);
  }
  spaces_.resize(processes_.size());
  aio_contexts_.resize(processes_.size());
  auto descriptors = TRY(look_from_outside());
  TRY(survey_mounts());
  engine::FileTable files(context_);
  for (size_t i = 0; i < processes_.size(); ++i) {
    FrozenProcess& frozen = processes_[i];
    *tree_.add_processes() = describe_relations(frozen, inside);
    if (frozen.zombie) continue;
    image::Process& out = *tree_.mutable_processes(tree_.processes_size() - 1);
    if (ahead_ != nullptr)
      if (auto staged = ahead_->staged(frozen)) out.set_staged(staged->number);
    TRY_IN(files.add(frozen.living, std::move(descriptors[i]), out), name_of(frozen));
    TRY_IN(add_thread_files(files, i), name_of(frozen));
  }
  TRY(files.open_all());
  networks_ = TRY(engine::find_networks(context_, processes_, container_));
  describe_births(births_, tree_);
  TRY(describe_namespaces());
  TRY(context_.judge(engine::describe_pid_namespaces(processes_, tree_)));
  TRY(context_.judge(engine::describe_time_namespaces(processes_, container_, tree_)));
  TRY(context_.judge(engine::describe_cgroup_namespaces(processes_, cgroup_namespaces_,
                                                        container_cgroups_, cgroups_)));
  TRY(engine::describe_inner_cgroups(context_, processes_, container_cgroups_,
                                     freezers_.directories(), cgroups_));
  for (size_t i = 0; i < processes_.size(); ++i)
    if (!processes_[i].zombie)
      TRY(context_.judge_in(name_of(processes_[i]), [&] { return survey_process(i); }));
  *tree_.mutable_seccomp_filters() = seccomp_.filters();
  kinds_ = TRY(engine::choose_kinds(context_));
  TRY(engine::check_mount_namespaces(context_, processes_, mounts_, tree_));
  TRY(context_.judge(engine::describe_terminals(context_, processes_, tree_)));
  TRY(survey_ipc());
  tree_.set_work_area(TRY(choose_work_area()));
  return {};
}

// When the namespaces of the processes are known, before their files are looked at.
Result<void> GroupCapture::survey_mounts() {
  if (!container_) return engine::refuse_mount_namespaces(context_, processes_);
  mounts_ = TRY(engine::describe_own_mounts(context_, first_mounts_, processes_));
  return {};
}

Result<void> GroupCapture::refuse_apart(ino_t FrozenProcess::* name_space, const char* kind) {
  for (const FrozenProcess& process : processes_)
    if (!process.zombie && process.*name_space != processes_.front().*name_space)
      TRY(context_.judge(fail(Code::kUnsupported, fmt::format("task {} has {} namespace of its own",
                                                              process.pid.value, kind))));
  return {};
}

// A process tree has the host's namespace.
Result<void> GroupCapture::survey_ipc() {
  const HostPid root = context_.root();
  if (!container_) {
    TRY(refuse_apart(&FrozenProcess::network_namespace, "a network"));
    TRY(refuse_apart(&FrozenProcess::ipc_namespace, "an IPC"));
    ipc_ = TRY(engine::capture_sysv(context_, root, engine::SysvScope::kMappedSegments));
    return {};
  }
  ipc_ = TRY(engine::capture_sysv(context_, root, engine::SysvScope::kWholeNamespace));
  TRY(engine::capture_posix_queues(context_, root, ipc_));
  return engine::capture_ipc_namespaces(context_, processes_, spaces_, ipc_);
}

// If the refusal is noted, nobody has a creator.
Result<void> GroupCapture::plan_births() {
  births_.resize(processes_.size());
  births_ = TRY(checkpoint::plan_births(processes_));
  return {};
}

Result<void> GroupCapture::add_thread_files(engine::FileTable& files, size_t index) {
  image::Process& out = *tree_.mutable_processes(static_cast<int>(index));
  for (const engine::FrozenThread& thread : processes_[index].threads) {
    image::Thread& record = *out.add_threads();
    if (!thread.own_files) continue;
    HostPid tid = thread.tracee.tid();
    auto descriptors = TRY(engine::FileTable::look_at(tid));
    TRY(files.add(tid, std::move(descriptors), *record.mutable_own_files()));
  }
  return {};
}

Result<void> GroupCapture::describe_namespaces() {
  engine::UserNamespaces user_namespaces;
  TRY(context_.judge([&]() -> Result<void> {
    user_namespaces = TRY(engine::describe_user_namespaces(processes_, tree_));
    return engine::describe_host_names(processes_, container_, user_namespaces, tree_);
  }()));
  return engine::describe_networks(context_, processes_, network_survey_, fresh_settings_,
                                   user_namespaces, tree_, networks_);
}

void GroupCapture::list_tasks() {
  for (FrozenProcess& process : processes_) {
    context_.set_task(process.pid, process.ns_pid);
    for (const engine::FrozenThread& thread : process.threads)
      context_.set_task(thread.tracee.tid(), thread.tid);
  }
}

Result<uint64_t> GroupCapture::choose_work_area() const {
  if (ahead_ == nullptr) return find_work_area(processes_);
  if (is_free_in_all(ahead_->work_area(), processes_)) return ahead_->work_area();
  return std::unexpected(
      Error(Code::kUnsupported,
            fmt::format("a process has mapped {:#x}, where the restore works", ahead_->work_area()))
          .with_remedy("try again"));
}

// Reads what /proc tells of mappings and descriptors; what takes longest of a survey needs no
// tracer, so all processors share in it.
Result<std::vector<std::vector<engine::OpenFile>>> GroupCapture::look_from_outside() {
  std::vector<std::vector<engine::OpenFile>> descriptors(processes_.size());
  cgroup_namespaces_.resize(processes_.size());
  const engine::Namespaces of_root = engine::namespaces_of(context_.root());
  TRY(for_each_in_parallel(processes_.size(), [&](size_t i) -> Result<void> {
    FrozenProcess& frozen = processes_[i];
    if (frozen.zombie) return {};
    descriptors[i] = TRY_IN(engine::FileTable::look_at(frozen.living), name_of(frozen));
    if (has_space(i)) frozen.vmas = TRY_IN(sys::read_mappings(frozen.living), name_of(frozen));
    cgroup_namespaces_[i] = engine::note_namespaces(context_.root(), of_root, frozen);
    return {};
  }));
  return descriptors;
}

Result<void> GroupCapture::survey_process(size_t index) {
  if (const std::string& other = processes_[index].other_namespace; !other.empty())
    TRY(context_.judge(fail(Code::kUnsupported, other)));
  TRY(context_.judge(seccomp_.read(processes_[index])));
  image::Process& out = *tree_.mutable_processes(static_cast<int>(index));
  TRY(context_.judge(engine::note_removed_directories(context_, processes_[index], out)));
  if (!has_space(index)) return {};
  auto mappings = TRY(layouts_.read(processes_[index].living, processes_[index].vmas));
  spaces_[index].mutable_mappings()->Assign(mappings.begin(), mappings.end());
  aio_contexts_[index] =
      TRY(engine::capture_aio_contexts(processes_[index].living, spaces_[index]));
  return {};
}

Result<void> GroupCapture::gather() {
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (processes_[i].zombie) continue;
    image::Process& out = *tree_.mutable_processes(static_cast<int>(i));
    TRY(context_.judge_in(name_of(processes_[i]), [&]() -> Result<void> {
      FrozenProcess& holder = processes_[holder_of(i)];
      TRY(engine::capture_process(context_, processes_[i], holder, out, spaces_[i]));
      seccomp_.describe(processes_[i], out);
      return {};
    }));
  }
  return {};
}

// Contents that files bring along (of files without a name) go into the stream while the files are
// captured, before the files themselves.
Result<void> GroupCapture::gather_files() {
  engine::TmpfsRounds* ahead = ahead_ != nullptr ? &ahead_->tmpfs() : nullptr;
  TRY(context_.judge(engine::capture_tmpfs(context_, mounts_, ahead)));
  files_ = TRY(engine::capture_files(context_, kinds_));
  return {};
}

Result<void> GroupCapture::write() {
  using image::RecordType;
  image::Sink& sink = context_.sink();
  auto clocks = TRY(sys::read_clocks(context_.root()));
  auto header = TRY(make_header(container_, clocks, lane_count_));
  TRY(image::put_message(sink, RecordType::kHeader, header));
  TRY(pages_.begin(header.image_id()));
  TRY(image::put_message(sink, RecordType::kTree, tree_));
  TRY(engine::capture_posix_messages(context_, ipc_));
  for (image::IpcNamespace& own : *ipc_.mutable_namespaces())
    TRY(engine::capture_posix_messages(context_, *own.mutable_objects()));
  TRY(image::put_message(sink, RecordType::kIpc, ipc_));
  if (cgroups_.ByteSizeLong() != 0) TRY(image::put_message(sink, RecordType::kCgroups, cgroups_));
  if (mounts_.ByteSizeLong() != 0) TRY(image::put_message(sink, RecordType::kMounts, mounts_));
  if (!networks_.namespaces().empty())
    TRY(image::put_message(sink, RecordType::kNetworkNamespaces, networks_));
  else if (networks_.has_of_root())
    TRY(image::put_message(sink, RecordType::kNetwork, networks_.of_root()));
  TRY(gather_files());
  if (ahead_ != nullptr) ahead_->build_on(context_.shared_objects());
  stats_.memory_bytes += TRY(context_.shared_objects().put(sink));
  for (const image::File& file : files_) TRY(image::put_message(sink, RecordType::kFile, file));
  for (size_t i = 0; i < processes_.size(); ++i)
    if (!processes_[i].zombie) TRY_IN(write_space(i), name_of(processes_[i]));
  TRY(pages_.end());
  TRY(sink.put(RecordType::kEnd, {}, {}));
  return sink.flush();
}

// What a process has to keep for those it creates is known before its pages are chosen.
Result<void> GroupCapture::find_pages() {
  TRY(look_at_pages());
  std::vector<Ranges> from_creator(processes_.size());
  TRY(for_each_in_parallel(processes_.size(), [&](size_t i) -> Result<void> {
    if (!has_space(i)) return {};
    from_creator[i] = TRY_IN(find_inherited(i), name_of(processes_[i]));
    return {};
  }));
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (!births_[i].creator) continue;
    Ranges& kept = for_children_[holder_of(*births_[i].creator)];
    kept = engine::unite(kept, from_creator[i]);
  }
  return {};
}

// The page tables of one process are read by several threads at once, too.
Result<void> GroupCapture::look_at_pages() {
  struct Part {
    size_t process;
    int mapping;
    sys::Range range;
    sys::Pagemap::Tracking tracking;
    sys::Pagemap::Look seen;
  };
  std::vector<Part> parts;
  std::vector<std::optional<sys::Pagemap>> pagemaps(processes_.size());
  pages_of_.resize(processes_.size());
  for (size_t i = 0; i < processes_.size(); ++i) {
    const image::AddressSpace& space = spaces_[i];
    if (!has_space(i)) continue;
    auto tracking = ahead_ != nullptr && ahead_->staged(processes_[i])
                        ? sys::Pagemap::Tracking::kByWrites
                        : sys::Pagemap::Tracking::kNone;
    pagemaps[i] = TRY_IN(sys::Pagemap::open(processes_[i].living), name_of(processes_[i]));
    pages_of_[i].resize(static_cast<size_t>(space.mappings_size()));
    for (int m = 0; m < space.mappings_size(); ++m)
      if (engine::has_private_pages(space.mappings(m)) || engine::is_shared(space.mappings(m)))
        for (const sys::Range& range : parts_to_look_at(range_of(space.mappings(m))))
          parts.push_back({i, m, range, tracking, {}});
  }
  TRY(for_each_in_parallel(parts.size(), [&](size_t n) -> Result<void> {
    Part& part = parts[n];
    const image::Mapping& mapping = spaces_[part.process].mappings(part.mapping);
    const sys::Pagemap& pagemap = *pagemaps[part.process];
    std::string name = name_of(processes_[part.process]);
    if (engine::is_shared(mapping))
      part.seen.guards = TRY_IN(pagemap.guards_of_shared(part.range), name);
    else
      part.seen =
          TRY_IN(pagemap.look(part.range, engine::backing_of(mapping), part.tracking), name);
    return {};
  }));
  for (const Part& part : parts) {
    sys::Pagemap::Look& seen = pages_of_[part.process][static_cast<size_t>(part.mapping)].seen;
    for (const sys::Range& range : part.seen.pages) append(seen.pages, range);
    for (const sys::Range& range : part.seen.changed) append(seen.changed, range);
    for (const sys::Range& range : part.seen.guards) append(seen.guards, range);
  }
  return {};
}

// Of who shares its memory nothing but that it comes next.
//
// Where the mapping is over there already, pages that are sent again are not taken away first:
// they are written over, which is why those of zeros are sent, too.
Result<void> GroupCapture::write_space(size_t index) {
  const FrozenProcess& frozen = processes_[index];
  auto owner = static_cast<uint32_t>(frozen.ns_pid.value);
  image::AddressSpace& space = spaces_[index];
  if (!has_space(index)) {
    space.Clear();
    space.set_process(owner);
    return image::put_message(context_.sink(), image::RecordType::kAddressSpace, space);
  }
  choose_late_pages(index);
  for (const MappedPages& pages : pages_of_[index]) {
    for (const sys::Range& range :
         pages.ahead ? engine::subtract(engine::clip(pages.seen.pages, *pages.ahead), pages.late)
                     : pages.inherited) {
      auto* out = space.add_inherited();
      out->set_start(range.start);
      out->set_end(range.end);
    }
  }
  TRY(image::put_message(context_.sink(), image::RecordType::kAddressSpace, space));
  image::AioContexts& aio = aio_contexts_[index];
  aio.set_process(space.process());
  if (!aio.contexts().empty())
    TRY(image::put_message(context_.sink(), image::RecordType::kAioContexts, aio));
  for (const MappedPages& pages : pages_of_[index]) {
    for (const sys::Range& range : pages.seen.guards)
      TRY(image::put_guard_pages(context_.sink(), {owner, 0, range.start, range.size()}));
    for (const sys::Range& range : pages.late)
      TRY(image::put_missing_pages(context_.sink(), {owner, 0, range.start, range.size()}));
  }
  auto mode = processes_.size() > 1 ? engine::ReadMode::kKeepShared : engine::ReadMode::kPinned;
  auto memory = TRY(sys::ForcedMemory::open(frozen.living));
  engine::PageReader reader{frozen.living, frozen.ns_pid, memory, mode};
  stats_.memory_bytes += TRY(pages_.put(reader, choose_pages(index)));
  return pages_.end_space(frozen.ns_pid);
}

void GroupCapture::choose_late_pages(size_t index) {
  if (scope_ != MemoryScope::kUrgent) return;
  const image::AddressSpace& space = spaces_[index];
  LatePages late(for_children_[index]);
  for (size_t i = index; i < processes_.size(); ++i)
    if (holder_of(i) == index) late.leave_out_used_by(tree_.processes(static_cast<int>(i)));
  for (int i = 0; i < space.mappings_size(); ++i) {
    MappedPages& pages = pages_of_[index][static_cast<size_t>(i)];
    if (!LatePages::allowed_in(space.mappings(i))) continue;
    pages.late = late.choose(engine::subtract(pages.seen.pages, pages.inherited));
    stats_.late_bytes += engine::total_size(pages.late);
  }
}

std::vector<engine::PagePiece> GroupCapture::choose_pages(size_t index) const {
  const image::AddressSpace& space = spaces_[index];
  std::vector<engine::PagePiece> pieces;
  for (int i = 0; i < space.mappings_size(); ++i) {
    const MappedPages& pages = pages_of_[index][static_cast<size_t>(i)];
    Ranges own = engine::subtract(engine::subtract(pages.seen.pages, pages.inherited), pages.late);
    auto zeros = pages.ahead ? engine::Zeros::kPut : engine::zeros_of(space.mappings(i));
    engine::add_pieces(space.mappings(i).protection(), zeros, own, pieces);
  }
  return pieces;
}

// Returns what the process shares with its creator since the fork that made it. Of a process whose
// memory was sent ahead only what the fork over there has brought along is still of interest.
Result<Ranges> GroupCapture::find_inherited(size_t index) {
  const FrozenProcess& frozen = processes_[index];
  const image::AddressSpace& space = spaces_[index];
  std::vector<MappedPages>& mapped = pages_of_[index];
  auto staged = ahead_ != nullptr ? ahead_->staged(frozen) : std::nullopt;
  Ranges from_creator;
  if (auto creator = births_[index].creator) {
    auto parts =
        engine::inheritable_parts(space, spaces_[holder_of(*creator)], engine::Lineage::kFork);
    auto own = TRY(sys::Pagemap::open(frozen.living));
    auto other = TRY(sys::Pagemap::open(processes_[*creator].living));
    for (size_t i = 0; i < mapped.size(); ++i) {
      if (!parts[i]) continue;
      Ranges pages = engine::clip(mapped[i].seen.pages, *parts[i]);
      if (staged) pages = engine::intersect(pages, *staged->forked);
      mapped[i].inherited = TRY(engine::inherited_pages(own, other, pages));
      from_creator = engine::unite(from_creator, mapped[i].inherited);
    }
  }
  if (!staged) return from_creator;
  auto parts = engine::inheritable_parts(space, *staged->layout, engine::Lineage::kSelf);
  for (size_t i = 0; i < mapped.size(); ++i) {
    MappedPages& pages = mapped[i];
    pages.ahead = parts[i];
    pages.inherited =
        parts[i] ? ahead_->unchanged(frozen, pages.seen, *parts[i], pages.inherited) : Ranges{};
  }
  return from_creator;
}

}  // namespace martlet::checkpoint
