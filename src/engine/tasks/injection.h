// An arena inside a frozen process for as long as the object lives.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/arena.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"

namespace martlet::engine {

class Injection {
 public:
  // Maps the arena. The process's threads change their registers from now on; thaw_process puts
  // them back.
  static Result<Injection> begin(FrozenProcess& process);

  // Runs a program in one of the process's threads.
  Result<void> run(FrozenThread& thread, Program& program);
  const Arena& arena() const { return *arena_; }

  // Unmaps the arena again; the destructor is the fallback.
  Result<void> end();

  Injection(Injection&& other) noexcept = default;
  ~Injection();

 private:
  Injection(FrozenProcess& process, TargetAddr syscall_instruction)
      : process_(&process), syscall_instruction_(syscall_instruction) {}
  Result<long> plain_call(long number, std::initializer_list<uint64_t> arguments);
  Result<void> map_arena();
  Result<TargetAddr> write_return_frame(FrozenThread& thread);

  FrozenProcess* process_;
  TargetAddr syscall_instruction_;
  std::unique_ptr<Arena> arena_;  // without the return frame behind it
};

}  // namespace martlet::engine
