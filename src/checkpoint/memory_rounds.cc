#include "checkpoint/memory_rounds.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"
#include "base/parallel.h"
#include "base/worker_thread.h"
#include "checkpoint/host_facts.h"
#include "checkpoint/relations.h"
#include "engine/cgroups/inner_freezers.h"
#include "engine/memory/aio_contexts.h"
#include "engine/memory/layout.h"
#include "engine/memory/pages.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/pid_numbers.h"
#include "sys/mapping_flags.h"
#include "sys/pidfd.h"
#include "sys/target_memory.h"
#include "sys/time_namespace.h"

namespace martlet::checkpoint {

using engine::FrozenProcess;
using engine::Ranges;

struct MemoryRounds::Member {
  uint32_t number;  // of this process, and of this set of pages
  HostPid pid;
  HostPid living;  // as of the frozen process
  uint64_t start_ticks = 0;
  image::Process relations;
  std::vector<sys::Vma> vmas;  // at the last round
  image::AddressSpace layout;  // what of them can be staged, and the vDSO
  std::optional<engine::WriteTracker> tracker;
  Ranges sent;
  Ranges sending;  // in this round
  Ranges forked;   // came with the fork from its parent and is there, though never sent
  bool announced = false;
  bool holds = true;  // at the capture
};

// What a round has found out about one process while it stood still.
struct MemoryRounds::Pending {
  Member* member;
  bool is_written_to;  // by requests (AIO) that were in flight then
  sys::Pagemap pagemap;
  sys::ForcedMemory memory;  // of the program that was running then
  std::vector<sys::Vma> vmas;
  Ranges changed;
  Ranges shared;     // pages that are physically the parent's
  std::string vdso;  // of a new process
};

namespace {

// For which a round waits for asynchronous requests while the group stands still.
constexpr Nanoseconds kLongestRequest = std::chrono::milliseconds(20);

// Lets the group go on, whatever happens.
class Pause {
 public:
  static Result<Pause> begin(const GroupSpec& spec) {
    const auto cgroups = TRY(engine::cgroups_of_container(spec.freezer_cgroup));
    TRY(engine::refuse_frozen_by_v1(cgroups));
    Pause pause(TRY(engine::freeze_processes(spec.root, spec.container, spec.freezer_cgroup)));
    pause.freezers_.emplace(TRY(engine::InnerFreezers::thaw(cgroups)));
    return pause;
  }
  Pause(Pause&& other) noexcept = default;
  ~Pause() { std::ignore = end(); }

  std::vector<FrozenProcess>& processes() { return processes_; }
  Result<void> end() {
    auto processes = std::exchange(processes_, {});
    freezers_.reset();
    return engine::thaw_for_another_stop(processes);
  }

 private:
  explicit Pause(std::vector<FrozenProcess> processes) : processes_(std::move(processes)) {}
  std::vector<FrozenProcess> processes_;
  std::optional<engine::InnerFreezers> freezers_;
};

// Only anonymous memory is sent ahead.
constexpr auto kBacking = sys::Pagemap::Backing::kNone;

// Special areas of the kernel look like anonymous memory in /proc/PID/maps.
bool is_anonymous(const sys::Vma& vma) {
  bool named = vma.path.empty() || vma.path == "[heap]" || vma.path.starts_with("[stack") ||
               vma.path.starts_with("[anon:");
  return vma.inode == 0 && !vma.shared && named;
}

Ranges staged_mappings(const std::vector<sys::Vma>& vmas) {
  Ranges mappings;
  for (const sys::Vma& vma : vmas)
    if (is_anonymous(vma)) mappings.push_back({vma.start, vma.end});
  return mappings;
}

bool same_mappings(const std::vector<sys::Vma>& a, const std::vector<sys::Vma>& b) {
  return std::ranges::equal(a, b, [](const sys::Vma& left, const sys::Vma& right) {
    return left.start == right.start && left.end == right.end &&
           left.protection == right.protection && left.shared == right.shared &&
           left.inode == right.inode && left.path == right.path;
  });
}

Ranges mappings_of(const image::AddressSpace& space) {
  Ranges mappings;
  for (const image::Mapping& mapping : space.mappings())
    if (engine::has_private_pages(mapping)) mappings.push_back({mapping.start(), mapping.end()});
  return mappings;
}

// The part of `before` that a task keeps when it gets the mappings of `after`.
Ranges kept_parts(const image::AddressSpace& after, const image::AddressSpace& before,
                  engine::Lineage lineage) {
  Ranges kept;
  for (const auto& part : engine::inheritable_parts(after, before, lineage))
    if (part) kept.push_back(*part);
  return kept;
}

bool same_relations(const image::Process& a, const image::Process& b) {
  return a.pid() == b.pid() && a.parent() == b.parent() && a.group() == b.group() &&
         a.session() == b.session() && a.exit_signal() == b.exit_signal();
}

// Those that a process is born from and into, by number inside: its parent, the first of its PID
// namespace and, if it has no number for its group, the leader of that.
std::vector<int32_t> born_by(const image::Process& relations) {
  std::vector<int32_t> needed{relations.parent()};
  if (relations.inner_pids_size() == 0) return needed;
  if (relations.pid_namespace() != relations.pid()) needed.push_back(relations.pid_namespace());
  const engine::PidNumbers group = engine::group_of(relations);
  if (group.own().value == 0) needed.push_back(relations.group());
  return needed;
}

int highest_descriptor(const std::vector<FrozenProcess>& processes) {
  int highest = -1;
  for (const FrozenProcess& process : processes)
    if (auto numbers = sys::list_descriptors(process.living); numbers && !numbers->empty())
      highest = std::max(highest, std::ranges::max(*numbers));
  return highest;
}

}  // namespace

MemoryRounds::MemoryRounds(GroupSpec spec)
    : spec_(std::move(spec)), tmpfs_(spec_.root, spec_.first_mounts) {}
MemoryRounds::~MemoryRounds() = default;

MemoryRounds::Member* MemoryRounds::find(HostPid pid) const {
  auto found = std::ranges::find(members_, pid, [](const auto& member) { return member->pid; });
  return found == members_.end() ? nullptr : found->get();
}

// Reading VmFlags may take long, so it is done while the process runs. A mapping that is another
// one by then has none, and whatever turns out to be different at the capture is sent again.
image::AddressSpace MemoryRounds::staged_layout(const std::vector<sys::Vma>& vmas,
                                                const Member& member) {
  std::map<std::pair<uint64_t, uint64_t>, sys::Vma> with_flags;
  if (auto detailed = sys::read_mappings(member.living))
    for (sys::Vma& vma : *detailed) with_flags.emplace(std::pair(vma.start, vma.end), vma);
  image::AddressSpace space;
  space.set_process(static_cast<uint32_t>(member.relations.pid()));
  if (auto status = sys::read_status(member.living)) space.set_thp_disabled(!status->thp_enabled);
  auto add = [&](const sys::Vma& vma) {
    image::Mapping& mapping = *space.add_mappings();
    mapping.set_start(vma.start);
    mapping.set_end(vma.end);
    mapping.set_protection(vma.protection);
    return &mapping;
  };
  for (const sys::Vma& vma : vmas) {
    if (auto kind = engine::vdso_part(vma)) add(vma)->set_kind(*kind);
    if (!is_anonymous(vma)) continue;
    const sys::Vma& detailed = with_flags[{vma.start, vma.end}];
    image::Mapping& mapping = *add(vma);
    mapping.set_kind(image::MAPPING_ANONYMOUS);
    mapping.set_grows_down(detailed.has_flag("gd"));
    mapping.set_no_reserve(detailed.has_flag("nr"));
    mapping.set_accounted(detailed.has_flag("ac"));
    engine::add_huge_page_advice(detailed, mapping);
  }
  return space;
}

Result<RoundStats> MemoryRounds::next(image::Sink& sink) {
  RoundStats stats;
  stats.number = ++round_;
  auto pending = TRY_IN(stop_and_look(stats.stopped_seconds), fmt::format("round {}", round_));
  shared_.begin();
  for (Pending& of_process : pending) {
    shared_.find(of_process.member->living, of_process.vmas);
    account(of_process);
    stats.changed_bytes += engine::total_size(of_process.changed);
  }
  TRY(announce(sink));
  const uint64_t compared = TRY(shared_.send(sink)) + TRY(tmpfs_.send(sink));
  stats.changed_bytes += compared;
  stats.sent_bytes += compared;
  for (Pending& of_process : pending) stats.sent_bytes += TRY(send(sink, of_process));
  TRY(sink.flush());
  return stats;
}

Result<void> MemoryRounds::prepare(image::Sink& sink) {
  follows_ = false;
  round_ = 1;
  double stopped = 0;
  auto pending = without_sharers(TRY_IN(stop_and_look(stopped), "prepare the memory"));
  for (Pending& of_process : pending) account(of_process);
  TRY(announce(sink));
  for (Pending& of_process : pending) {
    TRY(announce_space(sink, of_process));
    auto owner = static_cast<uint32_t>(of_process.member->relations.pid());
    for (const sys::Range& range : of_process.changed)
      TRY(image::put_zero_pages(sink, {owner, 0, range.start, range.size()}));
  }
  round_ = 2;
  TRY(announce(sink));
  return sink.flush();
}

// Pages of its own would end the sharing of a process with its parent over there. So whoever shares
// any is left to the capture, with its children.
std::vector<MemoryRounds::Pending> MemoryRounds::without_sharers(std::vector<Pending> pending) {
  std::set<int32_t> left_out;  // by number inside
  for (const Pending& of_process : pending) {
    const image::Process& relations = of_process.member->relations;
    if (!of_process.shared.empty() || left_out.contains(relations.parent()))
      left_out.insert(relations.pid());
  }
  auto is_left_out = [&](const Member& member) {
    return left_out.contains(member.relations.pid());
  };
  std::erase_if(pending, [&](const Pending& each) { return is_left_out(*each.member); });
  std::erase_if(members_, [&](const auto& member) { return is_left_out(*member); });
  return pending;
}

// On a thread that ends with the pause: see FrozenGroup::State.
Result<std::vector<MemoryRounds::Pending>> MemoryRounds::stop_and_look(double& stopped_seconds) {
  return WorkerThread().perform([&]() -> Result<std::vector<Pending>> {
    const bool uses_aio = engine::find_aio_use(spec_.root) != engine::AioUse::kNone;
    SystemClock clock;
    Stopwatch watch(clock);
    Pause pause = TRY(Pause::begin(spec_));
    auto& processes = pause.processes();
    std::vector<HostPid> written_to;
    if (uses_aio) written_to = engine::await_aio_requests(processes, kLongestRequest);
    order_for_restore(processes);
    TRY(for_each_in_parallel(processes.size(), [&](size_t i) -> Result<void> {
      if (!processes[i].zombie) processes[i].vmas = TRY(sys::read_maps(processes[i].living));
      return {};
    }));
    if (work_area_ == 0) work_area_ = TRY(find_work_area(processes));
    if (round_ == 1) highest_descriptor_ = highest_descriptor(processes);
    TRY(adopt(processes));
    auto pending = TRY(look_at_all(processes));
    for (Pending& of_process : pending)
      of_process.is_written_to =
          std::ranges::find(written_to, of_process.member->pid) != written_to.end();
    TRY(pause.end());
    stopped_seconds = watch.seconds();
    return pending;
  });
}

// Whether a process is still the one that is known, and at the same place in the tree. `is_old`
// says it, by number inside, of those before it; there are none before the root.
bool MemoryRounds::is_same(const Member* known, const FrozenProcess& frozen,
                           const image::Process& relations, const std::map<int32_t, bool>& is_old) {
  if (known == nullptr || known->start_ticks != frozen.stat.start_ticks) return false;
  if (is_old.empty()) return true;
  if (frozen.stat.terminal != 0) return false;
  return same_relations(known->relations, relations) &&
         std::ranges::all_of(born_by(relations), [&](int32_t number) {
           auto other = is_old.find(number);
           return other != is_old.end() && other->second;
         });
}

// Brings the members in line with the processes that there are. A process whose place in the tree
// has changed, or whose parent's has, is made anew over there and starts from nothing.
Result<void> MemoryRounds::adopt(std::vector<FrozenProcess>& processes) {
  auto inside = numbers_inside(processes);
  std::vector<std::unique_ptr<Member>> now;
  std::map<int32_t, bool> is_old;  // by number inside, and of the root's group
  std::set<NsPid> zombies;
  for (const FrozenProcess& frozen : processes)
    if (frozen.zombie) zombies.insert(frozen.ns_pid);
  // If there is no plan, the capture tells why unless it has passed by then.
  const auto births = plan_births(processes);
  for (size_t i = 0; i < processes.size(); ++i) {
    const FrozenProcess& frozen = processes[i];
    image::Process relations = describe_relations(frozen, inside);
    bool root = now.empty();
    if (frozen.zombie) continue;
    if (!root) {
      // It inherits the terminal, which is not there before the files are.
      if (frozen.stat.terminal != 0) continue;
      // It comes from the leader of its session, and a round has no zombies.
      if (zombies.contains(frozen.status.ns_sessions.back())) continue;
      if (!births || (*births)[i].shares()) continue;
      auto is_there = [&](int32_t number) { return is_old.contains(number); };
      if (!std::ranges::all_of(born_by(relations), is_there)) continue;
    }
    Member* known = find(frozen.pid);
    bool old = is_same(known, frozen, relations, is_old);
    is_old[relations.pid()] = old;
    if (root) is_old[relations.group()] = old;
    std::unique_ptr<Member> member;
    if (old) {
      auto place = std::ranges::find(members_, known, &std::unique_ptr<Member>::get);
      member = std::move(*place);
      members_.erase(place);
    } else {
      member = std::make_unique<Member>();
      member->number = next_number_++;
      member->pid = frozen.pid;
      member->start_ticks = frozen.stat.start_ticks;
    }
    member->living = frozen.living;
    member->relations = std::move(relations);
    member->relations.set_staged(member->number);
    now.push_back(std::move(member));
  }
  members_ = std::move(now);
  return {};
}

// Those that are tracked by all processors; only this thread can begin to track one.
Result<std::vector<MemoryRounds::Pending>> MemoryRounds::look_at_all(
    std::vector<FrozenProcess>& processes) {
  std::vector<std::optional<Pending>> seen(processes.size());
  auto look_at_one = [&](size_t i) -> Result<void> {
    Member* member = find(processes[i].pid);
    if (member == nullptr || (follows_ && !member->tracker)) return {};
    auto pending = look_at(processes[i], *member);
    if (pending)
      seen[i] = std::move(*pending);
    else if (pending.error().code() != Code::kGone)
      return std::unexpected(std::move(pending.error()));
    return {};
  };
  TRY(for_each_in_parallel(processes.size(), look_at_one));
  std::vector<Pending> all;
  for (size_t i = 0; i < processes.size(); ++i) {
    Member* member = find(processes[i].pid);
    if (member == nullptr) continue;
    if (!seen[i]) {  // it is new, or has executed another program
      if (follows_) member->tracker.emplace(TRY(engine::WriteTracker::begin(processes[i])));
      seen[i] = TRY(look_at(processes[i], *member));
    }
    all.push_back(std::move(*seen[i]));
  }
  return all;
}

Result<MemoryRounds::Pending> MemoryRounds::look_at(const FrozenProcess& frozen, Member& member) {
  Pending pending{&member,
                  false,
                  TRY(sys::Pagemap::open(frozen.living)),
                  TRY(sys::ForcedMemory::open(frozen.living)),
                  frozen.vmas,
                  {},
                  {},
                  {}};
  pending.changed = TRY(take_changes(frozen, member, pending.pagemap));
  if (member.announced) return pending;
  pending.shared = TRY(shared_with_parent(frozen, member, pending.pagemap));
  pending.vdso = TRY(engine::read_vdso(pending.memory, pending.vmas));
  return pending;
}

// kGone: the tracker is of a program that is gone.
Result<Ranges> MemoryRounds::take_changes(const FrozenProcess& frozen, Member& member,
                                          const sys::Pagemap& pagemap) const {
  auto mappings = staged_mappings(frozen.vmas);
  if (follows_) return member.tracker->take(pagemap, mappings);
  Ranges pages;
  for (const sys::Range& mapping : mappings)
    for (const sys::Range& range : TRY(pagemap.anonymous_pages(mapping, kBacking)))
      sys::append(pages, range);
  return pages;
}

Result<Ranges> MemoryRounds::shared_with_parent(const FrozenProcess& frozen, const Member& member,
                                                const sys::Pagemap& pagemap) const {
  Ranges shared;
  const Member* parent = parent_of(member);
  if (parent == nullptr) return shared;
  auto other = TRY(sys::Pagemap::open(parent->living));
  const Ranges of_parent = staged_mappings(TRY(sys::read_maps(parent->living)));
  for (const sys::Range& part : engine::intersect(staged_mappings(frozen.vmas), of_parent))
    for (const sys::Range& range :
         TRY(engine::inherited_pages(pagemap, other, TRY(pagemap.anonymous_pages(part, kBacking)))))
      sys::append(shared, range);
  return shared;
}

const MemoryRounds::Member* MemoryRounds::parent_of(const Member& member) const {
  auto parent = std::ranges::find_if(members_, [&](const auto& other) {
    return other->relations.pid() == member.relations.parent();
  });
  return parent == members_.end() || parent->get() == &member ? nullptr : parent->get();
}

// What the other side has of the process when it has made its mappings as they are now: of a new
// process, what a fork of its parent brings along.
void MemoryRounds::account(Pending& pending) {
  Member& member = *pending.member;
  image::AddressSpace before = member.layout;
  if (!same_mappings(member.vmas, pending.vmas)) {
    member.layout = staged_layout(pending.vmas, member);
    member.vmas = std::move(pending.vmas);
  }
  // The rest is of files that the other side may not have.
  pending.changed = engine::intersect(pending.changed, mappings_of(member.layout));
  if (!member.announced) {
    const Member* parent = parent_of(member);
    member.sending = pending.changed;
    if (parent == nullptr) return;
    // Only pages that were, or are now, sent for the parent itself: what it has from a fork of its
    // own may differ over there until the capture.
    Ranges there = engine::intersect(pending.shared, engine::unite(parent->sent, parent->sending));
    member.forked =
        engine::intersect(there, kept_parts(member.layout, parent->layout, engine::Lineage::kFork));
    pending.changed = engine::subtract(pending.changed, member.forked);
    member.sending = pending.changed;
    return;
  }
  member.sending = pending.changed;
  Ranges kept = kept_parts(member.layout, before, engine::Lineage::kSelf);
  member.forked = engine::subtract(engine::intersect(member.forked, kept), pending.changed);
  member.sent = engine::subtract(engine::intersect(member.sent, kept), pending.changed);
}

Result<void> MemoryRounds::announce(image::Sink& sink) {
  if (round_ == 1) {
    auto clocks = TRY(sys::read_clocks(spec_.root));
    auto header = TRY(make_header(spec_.container, clocks, 0));
    TRY(image::put_message(sink, image::RecordType::kHeader, header));
  }
  image::Round round;
  round.set_number(round_);
  round.set_highest_descriptor(highest_descriptor_);
  round.mutable_tree()->set_work_area(work_area_);
  for (const auto& member : members_) *round.mutable_tree()->add_processes() = member->relations;
  for (uint32_t number : shared_.settle_objects()) round.add_shared_memory(number);
  return image::put_message(sink, image::RecordType::kRound, round);
}

Result<void> MemoryRounds::announce_space(image::Sink& sink, Pending& pending) {
  Member& member = *pending.member;
  bool fresh = !std::exchange(member.announced, true);
  image::AddressSpace space = member.layout;
  // Once is enough: all programs get the same from the kernel.
  if (fresh) space.set_vdso(std::move(pending.vdso));
  // After the first time the other side keeps all that its mappings allow.
  for (const sys::Range& range : fresh ? member.forked : mappings_of(space)) {
    auto* out = space.add_inherited();
    out->set_start(range.start);
    out->set_end(range.end);
  }
  return image::put_message(sink, image::RecordType::kAddressSpace, space);
}

Result<uint64_t> MemoryRounds::send(image::Sink& sink, Pending& pending) {
  Member& member = *pending.member;
  bool fresh = !member.announced;
  TRY(announce_space(sink, pending));
  Ranges unreadable;
  NsPid owner(member.relations.pid());
  engine::PageReader reader{member.living, owner, pending.memory, engine::ReadMode::kKeepShared,
                            &unreadable};
  engine::PageWriter writer(sink);
  auto zeros = fresh ? engine::Zeros::kLeaveOut : engine::Zeros::kPut;
  uint64_t sent = TRY(writer.put_ranges(reader, PROT_READ, zeros, pending.changed));
  if (pending.is_written_to) return sent;  // what it gets later is not seen: it comes once more
  member.sent = engine::unite(member.sent, engine::subtract(pending.changed, unreadable));
  return sent;
}

engine::SentContent::Outlook MemoryRounds::outlook() const {
  engine::SentContent::Outlook left = shared_.outlook();
  const engine::SentContent::Outlook of_files = tmpfs_.outlook();
  left.changed_bytes += of_files.changed_bytes;
  left.seconds += of_files.seconds;
  for (const auto& member : members_) {
    auto pagemap = sys::Pagemap::open(member->living);
    if (!pagemap) continue;  // it ended
    auto changed = engine::WriteTracker::peek(*pagemap, mappings_of(member->layout));
    if (changed) left.changed_bytes += engine::total_size(*changed);
  }
  return left;
}

void MemoryRounds::settle(const std::vector<FrozenProcess>& processes,
                          const std::vector<Birth>& births) {
  auto inside = numbers_inside(processes);
  std::map<int32_t, bool> is_old;  // by number inside, and of the root's group
  for (size_t i = 0; i < processes.size(); ++i) {
    const FrozenProcess& frozen = processes[i];
    image::Process relations = describe_relations(frozen, inside);
    Member* member = frozen.zombie || births[i].shares() ? nullptr : find(frozen.pid);
    bool old = is_same(member, frozen, relations, is_old);
    if (Member* known = find(frozen.pid)) known->holds = old;
    is_old[relations.pid()] = old;
    if (i == 0) is_old[relations.group()] = old;
  }
}

std::optional<MemoryRounds::Staged> MemoryRounds::staged(const FrozenProcess& process) const {
  const Member* member = find(process.pid);
  if (member == nullptr || !member->holds || !member->announced) return std::nullopt;
  return Staged{member->number, &member->layout, &member->forked};
}

Ranges MemoryRounds::unchanged(const FrozenProcess& process, const sys::Pagemap::Look& now,
                               sys::Range part, const Ranges& shared_with_parent) const {
  const Member* member = find(process.pid);
  CHECK(member != nullptr && member->holds);
  Ranges there = engine::unite(engine::clip(member->sent, part),
                               engine::intersect(member->forked, shared_with_parent));
  return engine::subtract(engine::intersect(now.pages, there), now.changed);
}

}  // namespace martlet::checkpoint
