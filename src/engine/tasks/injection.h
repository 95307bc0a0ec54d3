// An arena inside a frozen process for as long as the object lives.
//
// It is mapped at one of a few addresses where nothing else ever is, so that one whose owner died
// can be found again, and so that the kernel merges it with no neighbour. Processes that share
// their memory have one after the other; that with the memory's main stack maps it for all.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/arena.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/way_back.h"

namespace martlet::engine {

// Where a capture's process died and left an arena in a process. Any thread.
std::vector<TargetAddr> find_abandoned_arenas(HostPid pid);
// Whether a thread is where one may be.
bool is_in_arena(const user_regs_struct& registers);

class Injection {
 public:
  // Maps the arena. Between two calls every thread has its own registers, so that the death of this
  // process harms none.
  static Result<Injection> begin(FrozenProcess& process) { return begin(process, process); }
  // `holder` has the memory, and its vmas are known; it outlives this.
  static Result<Injection> begin(FrozenProcess& process, FrozenProcess& holder);

  // Runs a program in one of the process's threads.
  Result<void> run(FrozenThread& thread, Program& program) { return run(thread, program, {}); }
  // One that has a pause, at which `meanwhile` is called.
  Result<void> run(FrozenThread& thread, Program& program,
                   const std::function<Result<void>()>& meanwhile);
  const Arena& arena() const { return *arena_; }

  // Unmaps the arena again; the destructor is the fallback.
  Result<void> end();

  // Unmaps one of find_abandoned_arenas(), in which no thread of whoever has the memory may be.
  // `vmas` must be known.
  static Result<void> remove_abandoned(FrozenProcess& process, TargetAddr arena);

  Injection(Injection&& other) noexcept = default;
  ~Injection();

 private:
  Injection(FrozenProcess& process, FrozenProcess& holder, WayBack way_back);
  static Result<Injection> enter(FrozenProcess& process, FrozenProcess& holder);
  Result<long> plain_call(long number, std::initializer_list<uint64_t> arguments);
  Result<void> map_arena();
  Result<void> unmap(TargetAddr arena);
  Result<TargetAddr> write_return_frame(FrozenThread& thread);

  FrozenProcess* process_;
  FrozenProcess* holder_;
  WayBack way_back_;              // of the holder's leader; with no stack it has none
  int done_signal_;               // ends every program
  std::unique_ptr<Arena> arena_;  // without the return frame behind it
};

}  // namespace martlet::engine
