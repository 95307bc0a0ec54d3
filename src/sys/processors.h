// On which processors a task may run.
//
// Whoever lets a traced task do a little work and waits for it does so fastest if the two take
// turns on one processor: on another one, which is idle, the task must first be woken by an
// interrupt, which in a virtual machine takes longer than the work.
#pragma once

#include <sched.h>

#include <optional>

#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

Result<cpu_set_t> allowed_processors(HostPid tid);
Result<void> allow_processors(HostPid tid, const cpu_set_t& processors);

// Only the processor `number`.
cpu_set_t only_processor(int number);

// Keeps the calling thread on one processor; children that it makes meanwhile stay there as well.
// Does nothing if the kernel refuses: everything works without it.
class OnProcessor {
 public:
  explicit OnProcessor(int number);
  ~OnProcessor();
  OnProcessor(const OnProcessor&) = delete;
  OnProcessor& operator=(const OnProcessor&) = delete;

 private:
  std::optional<cpu_set_t> before_;
};

}  // namespace martlet::sys
