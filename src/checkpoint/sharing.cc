#include "checkpoint/sharing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "engine/ipc/sysv_undo.h"
#include "sys/pidfd.h"

namespace martlet::checkpoint {
namespace {

using engine::FrozenProcess;
using engine::FrozenThread;
using sys::Shared;

// What a process may be born with. Only the first two can be left again, and be a thread's own.
constexpr std::array kTables = {Shared::kFiles, Shared::kFileSystem, Shared::kMemory,
                                Shared::kSignalHandlers};
constexpr size_t kFiles = 0;
constexpr size_t kDirectories = 1;
constexpr size_t kMemory = 2;
constexpr size_t kHandlers = 3;
constexpr size_t kLeavable = 2;

const char* name_of(Shared what) {
  switch (what) {
    case Shared::kMemory: return "its memory (CLONE_VM)";
    case Shared::kFiles: return "its descriptor table (CLONE_FILES)";
    case Shared::kFileSystem: return "its directories (CLONE_FS)";
    case Shared::kSignalHandlers: return "its signal handlers (CLONE_SIGHAND)";
    case Shared::kSemaphoreUndo: return "its undo list of semaphores (CLONE_SYSVSEM)";
  }
  return "";
}

// One task for each instance of a resource, found by the order of the kernel.
class Owners {
 public:
  explicit Owners(Shared what) : what_(what) {}

  // Adds the task unless another has the same instance, which is returned then.
  Result<std::optional<HostPid>> add(HostPid tid) {
    size_t first = 0, last = sorted_.size();
    while (first < last) {
      size_t middle = (first + last) / 2;
      int order = TRY(sys::compare_resources(sorted_[middle], tid, what_));
      if (order == 0) return std::optional(sorted_[middle]);
      (order < 0 ? first : last) = order < 0 ? middle + 1 : middle;
    }
    sorted_.insert(sorted_.begin() + static_cast<ptrdiff_t>(first), tid);
    return std::optional<HostPid>();
  }

 private:
  Shared what_;
  std::vector<HostPid> sorted_;
};

// Processes as they are made: one that shares a table is born with it, and so are those between it
// and whom it shares it with.
class BirthPlan {
 public:
  explicit BirthPlan(const std::vector<FrozenProcess>& processes)
      : processes_(processes), parents_(processes.size(), kNone) {
    std::map<HostPid, size_t> known;
    for (size_t i = 0; i < processes.size(); ++i) {
      auto parent = known.find(processes[i].status.parent);
      if (parent != known.end()) parents_[i] = parent->second;
      if (!processes[i].zombie) known[processes[i].pid] = i;
    }
  }

  Result<std::vector<Birth>> make() {
    for (size_t table = 0; table < kTables.size(); ++table) {
      born_with_[table].assign(processes_.size(), kNone);
      leaves_[table].assign(processes_.size(), false);
      for (const auto& sharers : TRY(find_sharers(kTables[table]))) TRY(claim(table, sharers));
    }
    std::vector<Birth> births;
    for (size_t i = 0; i < processes_.size(); ++i) births.push_back(TRY(birth_of(i)));
    return births;
  }

 private:
  static constexpr size_t kNone = ~size_t{0};

  // Those with the same instance, in order; of every instance that several have. Who shares its
  // signal handlers shares its memory, too, which is planned before.
  Result<std::vector<std::vector<size_t>>> find_sharers(Shared what) const {
    Owners owners(what);
    std::map<HostPid, std::vector<size_t>> by_owner;
    for (size_t i = 0; i < processes_.size(); ++i) {
      const bool is_alone = what == Shared::kSignalHandlers && born_with_[kMemory][i] == kNone;
      if (processes_[i].zombie || is_alone) continue;
      HostPid task = processes_[i].living;
      by_owner[TRY(owners.add(task)).value_or(task)].push_back(i);
    }
    std::vector<std::vector<size_t>> sharers;
    for (auto& [owner, members] : by_owner)
      if (members.size() > 1) sharers.push_back(std::move(members));
    return sharers;
  }

  // kNone: they are not of one tree.
  size_t common_ancestor(size_t a, size_t b) const {
    while (a != b && a != kNone && b != kNone) (a > b ? a : b) = parents_[std::max(a, b)];
    return a == b ? a : kNone;
  }

  // The table is born with the first of them, or with the first child of their common ancestor that
  // leads to one of them.
  Result<void> claim(size_t table, const std::vector<size_t>& sharers) {
    size_t top = sharers.front();
    for (size_t sharer : sharers) {
      top = common_ancestor(top, sharer);
      if (top == kNone)
        return fail(Code::kUnsupported,
                    fmt::format("process {} shares {} with one that has another "
                                "ancestor",
                                processes_[sharer].pid.value, name_of(kTables[table])));
    }
    for (size_t sharer : sharers) {
      for (size_t at = sharer; at != top; at = parents_[at]) TRY(claim_one(table, sharers, at));
      if (top == sharer) TRY(claim_one(table, sharers, top));
    }
    return {};
  }

  Result<void> claim_one(size_t table, const std::vector<size_t>& sharers, size_t at) {
    size_t& mark = born_with_[table][at];
    if (mark != kNone && mark != sharers.front())
      return fail(Code::kUnsupported,
                  fmt::format("process {} shares {} with process {}, and process {} between them "
                              "shares its own with others",
                              processes_[sharers[1]].pid.value, name_of(kTables[table]),
                              processes_[sharers[0]].pid.value, processes_[at].pid.value));
    mark = sharers.front();
    leaves_[table][at] = !std::ranges::binary_search(sharers, at);
    if (table < kLeavable || !leaves_[table][at]) return {};
    return fail(Code::kUnsupported,
                fmt::format("process {} shares {} with process {}, and process {} between them "
                            "has executed a program",
                            processes_[sharers[1]].pid.value, name_of(kTables[table]),
                            processes_[sharers[0]].pid.value, processes_[at].pid.value));
  }

  bool gives(size_t creator, size_t table, size_t to) const {
    return born_with_[table][creator] == born_with_[table][to];
  }

  Result<Birth> birth_of(size_t i) const {
    Birth birth;
    if (parents_[i] == kNone || processes_[i].zombie) return birth;
    birth.creator = parents_[i];
    birth.leaves_files = leaves_[kFiles][i];
    birth.leaves_directories = leaves_[kDirectories][i];
    std::vector<size_t> creators = {parents_[i]};
    for (size_t elder = 0; elder < i; ++elder)
      if (parents_[elder] == parents_[i] && !processes_[elder].zombie) creators.push_back(elder);
    std::vector<size_t> given;  // the tables that it is born with
    for (size_t table = 0; table < kTables.size(); ++table)
      if (born_with_[table][i] != kNone &&
          std::ranges::any_of(creators, [&](size_t c) { return gives(c, table, i); }))
        given.push_back(table);
    if (given.empty()) return birth;
    auto is_given = [&](size_t table) { return std::ranges::count(given, table) != 0; };
    birth.shares_files = is_given(kFiles);
    birth.shares_directories = is_given(kDirectories);
    birth.shares_memory = is_given(kMemory);
    birth.shares_handlers = is_given(kHandlers);
    auto creator = std::ranges::find_if(creators, [&](size_t c) {
      return std::ranges::all_of(given, [&](size_t table) { return gives(c, table, i); }) &&
             can_create(c, i);
    });
    if (creator == creators.end())
      return fail(Code::kUnsupported,
                  fmt::format("process {} shares {} with a process that cannot have created it",
                              processes_[i].pid.value, name_of(kTables[given.front()])));
    birth.creator = *creator;
    return birth;
  }

  // A child has its creator's session until it starts one, and CLONE_PARENT gives it the creator's
  // exit signal. A process whose session's leader has ended comes from that leader.
  bool can_create(size_t creator, size_t child) const {
    auto session = [&](size_t of) { return processes_[of].status.ns_sessions.back(); };
    const NsPid wanted = session(child);
    if (wanted == session(creator) || wanted == processes_[child].ns_pid)
      return creator == parents_[child] ||
             processes_[creator].stat.exit_signal == processes_[child].stat.exit_signal;
    return creator == parents_[child] &&
           (wanted == session(0) || std::ranges::any_of(processes_, [&](const FrozenProcess& each) {
              return !each.zombie && each.ns_pid == wanted;
            }));
  }

  const std::vector<FrozenProcess>& processes_;
  std::vector<size_t> parents_;
  // Of each table and process: the first of those who share the instance that it is born with.
  std::array<std::vector<size_t>, kTables.size()> born_with_;
  std::array<std::vector<bool>, kTables.size()> leaves_;
};

// For each thread the first one with the same instance. Those apart from their process are added to
// the owners.
Result<std::vector<size_t>> first_holders(const FrozenProcess& process, Shared what,
                                          Owners& owners) {
  std::vector<size_t> holders(process.threads.size(), 0);
  std::map<HostPid, size_t> apart;
  for (size_t i = 1; i < holders.size(); ++i) {
    HostPid tid = process.threads[i].tracee.tid();
    if (TRY(sys::is_shared(process.living, tid, what))) continue;
    HostPid owner = TRY(owners.add(tid)).value_or(tid);
    if (owner != tid && !apart.contains(owner))
      return fail(Code::kUnsupported,
                  fmt::format("thread {} of process {} shares {} with task {} of another process",
                              tid.value, process.pid.value, name_of(what), owner.value));
    holders[i] = apart.try_emplace(owner, i).first->second;
  }
  return holders;
}

Result<void> plan_threads_of(FrozenProcess& process, std::array<Owners, kLeavable>& owners) {
  std::array<std::vector<size_t>, kLeavable> holders;
  for (size_t table = 0; table < kLeavable; ++table)
    holders[table] = TRY(first_holders(process, kTables[table], owners[table]));
  for (size_t i = 1; i < process.threads.size(); ++i) {
    auto gives = [&](size_t creator, size_t table) {
      return holders[table][i] == i || holders[table][i] == holders[table][creator];
    };
    size_t creator = 0;
    while (creator < i && !(gives(creator, kFiles) && gives(creator, kDirectories))) ++creator;
    FrozenThread& thread = process.threads[i];
    if (creator == i)
      return fail(Code::kUnsupported,
                  fmt::format("thread {} of process {} shares {} with one thread and {} with "
                              "another",
                              thread.tracee.tid().value, process.pid.value, name_of(Shared::kFiles),
                              name_of(Shared::kFileSystem)));
    if (creator != 0) thread.creator = process.threads[creator].tid;
    thread.own_files = holders[kFiles][i] == i;
    thread.own_directories = holders[kDirectories][i] == i;
  }
  return {};
}

// A process without undo operations has no list that it could share.
Result<void> refuse_shared_undo(const std::vector<FrozenProcess>& processes) {
  constexpr Shared kWhat = Shared::kSemaphoreUndo;
  Owners owners(kWhat);
  for (const FrozenProcess& process : processes) {
    if (process.zombie || !TRY(engine::may_undo_semaphores(process.living))) continue;
    if (auto other = TRY(owners.add(process.living)))
      return fail(
          Code::kUnsupported,
          fmt::format("process {} shares {} with {}", process.pid.value, name_of(kWhat),
                      *other == process.status.parent ? "its parent"
                                                      : fmt::format("process {}", other->value)));
  }
  return {};
}

Result<void> refuse_memory_of_parent(const FrozenProcess& root) {
  if (!sys::is_shared(root.living, root.status.parent, Shared::kMemory).value_or(false)) return {};
  return fail(Code::kUnsupported,
              fmt::format("process {} shares {} with its parent, which is not of the group",
                          root.pid.value, name_of(Shared::kMemory)));
}

}  // namespace

Result<std::vector<Birth>> plan_births(const std::vector<FrozenProcess>& processes) {
  return BirthPlan(processes).make();
}

void describe_births(const std::vector<Birth>& births, image::Tree& tree) {
  for (size_t i = 0; i < births.size(); ++i) {
    const Birth& birth = births[i];
    image::Process& out = *tree.mutable_processes(static_cast<int>(i));
    if (birth.creator) {
      int32_t creator = tree.processes(static_cast<int>(*birth.creator)).pid();
      if (creator != out.parent()) out.set_creator(creator);
    }
    out.set_shares_files(birth.shares_files);
    out.set_shares_directories(birth.shares_directories);
    out.set_shares_memory(birth.shares_memory);
    out.set_shares_handlers(birth.shares_handlers);
    out.set_leaves_files(birth.leaves_files);
    out.set_leaves_directories(birth.leaves_directories);
  }
}

Result<void> plan_threads(std::vector<FrozenProcess>& processes) {
  std::array<Owners, kLeavable> owners = {Owners(kTables[kFiles]), Owners(kTables[kDirectories])};
  if (std::ranges::all_of(processes, [](const auto& each) { return each.threads.size() < 2; }))
    return {};
  for (const FrozenProcess& process : processes)
    for (Owners& of_table : owners)
      if (!process.zombie) TRY(of_table.add(process.living));
  for (FrozenProcess& process : processes) TRY(plan_threads_of(process, owners));
  return {};
}

size_t memory_holder(const std::vector<Birth>& births, size_t process) {
  while (births[process].shares_memory) process = *births[process].creator;
  return process;
}

Result<void> refuse_sharing(const std::vector<FrozenProcess>& processes) {
  TRY(refuse_memory_of_parent(processes.front()));
  return refuse_shared_undo(processes);
}

}  // namespace martlet::checkpoint
