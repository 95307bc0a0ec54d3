#include "engine/ipc/sysv_undo.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/sem.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "engine/ipc/sysv_kinds.h"
#include "sys/pidfd.h"

namespace martlet::engine {
namespace {

constexpr int kMostValue = 32767;  // of a semaphore and of an adjustment

std::string describe(int set, uint32_t semaphore) {
  return fmt::format("semaphore {} of System V set {}", semaphore, set);
}

sembuf operation(uint32_t semaphore, int change, int flags = 0) {
  return {static_cast<unsigned short>(semaphore), static_cast<short>(change),
          static_cast<short>(flags | IPC_NOWAIT)};
}

// Asks about the adjustment of one semaphore of one process.
class UndoProbe {
 public:
  UndoProbe(Injection& injection, FrozenThread& thread, int set, uint32_t semaphore, int value)
      : injection_(injection), thread_(thread), set_(set), semaphore_(semaphore), value_(value) {}

  Result<int> adjustment() {
    if (TRY(is_at_least(1))) return largest([this](int size) { return is_at_least(size); });
    if (!TRY(is_at_most_minus(1))) return 0;
    return -TRY(largest([this](int size) { return is_at_most_minus(size); }));
  }

  // Whether the adjustment is `size` or more: then `kMostValue + 1 - size` more are too many.
  Result<bool> is_at_least(int size) {
    return is_out_of_range({operation(semaphore_, -value_), operation(semaphore_, kMostValue),
                            operation(semaphore_, size - 1 - kMostValue, SEM_UNDO)});
  }

  // In two steps, as one operation cannot be large enough.
  Result<bool> is_at_most_minus(int size) {
    return is_out_of_range({operation(semaphore_, -value_), operation(semaphore_, 1, SEM_UNDO),
                            operation(semaphore_, -1),
                            operation(semaphore_, kMostValue + 1 - size, SEM_UNDO)});
  }

 private:
  template <typename IsReached>
  Result<int> largest(const IsReached& is_reached) {
    int low = 1, high = kMostValue;
    while (low < high) {
      int middle = (low + high + 1) / 2;
      if (TRY(is_reached(middle)))
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }

  // The last two operations cannot both take place, whatever the value is: so nothing does.
  Result<bool> is_out_of_range(std::vector<sembuf> operations) {
    operations.push_back(operation(semaphore_, 0));
    operations.push_back(operation(semaphore_, -1));
    Program program(injection_.arena());
    auto probe = program.call(
        "look at a semaphore", SYS_semtimedop,
        {set_, program.put(std::as_bytes(std::span(operations))), operations.size(), 0},
        Program::OnError::kGoOn);
    TRY(injection_.run(thread_, program));
    long result = program.result(probe);
    // Who may not change a set any more will not undo anything either.
    bool within = result == -EAGAIN || result == -EACCES || result == -EIDRM;
    if (result != -ERANGE && !within)
      return std::unexpected(
          Error::from_errno(static_cast<int>(-result), "look at " + describe(set_, semaphore_)));
    return result == -ERANGE;
  }

  Injection& injection_;
  FrozenThread& thread_;
  int set_;
  uint32_t semaphore_;
  int value_;
};

Result<std::vector<image::SysvSemaphores>> read_sets(HostPid process) {
  std::vector<image::SysvSemaphores> sets;
  TRY(run_in_namespace(process, "ipc", [&]() -> Result<void> {
    for (int id : list_semaphores()) sets.push_back(TRY(capture_semaphores(id)));
    return {};
  }));
  return sets;
}

bool has_value(HostPid process, const image::SysvSemaphores& set, int semaphore) {
  auto now = read_sets(process);
  if (!now) return false;
  return std::ranges::any_of(*now, [&](const image::SysvSemaphores& other) {
    return other.permission().id() == set.permission().id() && semaphore < other.values_size() &&
           other.values(semaphore) == set.values(semaphore);
  });
}

Result<std::vector<sembuf>> operations_for(const image::SemaphoreUndo& undo,
                                           const image::Ipc& ipc) {
  int size = std::abs(undo.adjustment());
  if (size == 0 || size > kMostValue)
    return fail(Code::kBadImage, "adjustment of a semaphore is out of range");
  auto set = std::ranges::find_if(ipc.semaphores(), [&](const image::SysvSemaphores& candidate) {
    return candidate.permission().id() == undo.set();
  });
  if (set == ipc.semaphores().end())
    return std::vector{operation(undo.semaphore(), -undo.adjustment(), SEM_UNDO)};
  if (undo.semaphore() >= static_cast<uint32_t>(set->values_size()))
    return fail(Code::kBadImage, "no such semaphore");
  bool taken = undo.adjustment() > 0;
  sembuf up = operation(undo.semaphore(), size, taken ? 0 : SEM_UNDO);
  sembuf down = operation(undo.semaphore(), -size, taken ? SEM_UNDO : 0);
  auto value = static_cast<int>(set->values(static_cast<int>(undo.semaphore())));
  return value <= kMostValue - size ? std::vector{up, down} : std::vector{down, up};
}

}  // namespace

// Threads have a list as soon as there are two of them. One that has left it has none, and is alike
// in this to a process that has never had any.
Result<bool> may_undo_semaphores(HostPid task) {
  if (::unshare(CLONE_SYSVSEM) != 0) return fail_errno("leave the undo list of semaphores");
  return !TRY(sys::is_shared(task, HostPid(::gettid()), sys::Shared::kSemaphoreUndo));
}

Result<void> capture_semaphore_undo(Injection& injection, FrozenProcess& frozen,
                                    image::Process& out) {
  for (const FrozenThread& thread : frozen.threads) {
    HostPid tid = thread.tracee.tid();
    bool apart = !TRY(sys::is_shared(frozen.living, tid, sys::Shared::kSemaphoreUndo));
    if (apart && TRY(may_undo_semaphores(tid)))
      return fail(
          Code::kUnsupported,
          fmt::format("thread {} undoes semaphore operations apart from its process", tid.value));
  }
  for (const image::SysvSemaphores& set : TRY(read_sets(frozen.living)))
    for (int i = 0; i < set.values_size(); ++i) {
      int id = set.permission().id();
      auto semaphore = static_cast<uint32_t>(i);
      UndoProbe probe(injection, frozen.leader(), id, semaphore, static_cast<int>(set.values(i)));
      int adjustment = TRY(probe.adjustment());
      if (adjustment == 0) continue;
      if (!has_value(frozen.living, set, i))
        return std::unexpected(
            Error(Code::kUnsupported, describe(id, semaphore) + " changes while it is looked at")
                .with_remedy("try again"));
      image::SemaphoreUndo& undo = *out.add_semaphore_undos();
      undo.set_set(id);
      undo.set_semaphore(semaphore);
      undo.set_adjustment(adjustment);
    }
  return {};
}

Result<void> apply_semaphore_undo(Task& leader, const image::Process& process,
                                  const image::Ipc& ipc) {
  for (const image::SemaphoreUndo& undo : process.semaphore_undos()) {
    std::string what = describe(undo.set(), undo.semaphore());
    auto operations = TRY_IN(operations_for(undo, ipc), what);
    Program program(leader.arena());
    program.call(
        "take", SYS_semtimedop,
        {undo.set(), program.put(std::as_bytes(std::span(operations))), operations.size(), 0});
    auto taken = leader.run(program);
    if (!taken && taken.error().error_number() == EAGAIN)
      return fail(Code::kAlreadyExists, what + " was taken by somebody else meanwhile");
    TRY_IN(std::move(taken), what);
  }
  return {};
}

}  // namespace martlet::engine
