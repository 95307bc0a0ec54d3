// Seccomp modes and filters of threads.
//
// A frozen thread's filters are suspended (frozen.h), so that calls can be made in it.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

using SeccompFilterList = google::protobuf::RepeatedPtrField<image::SeccompFilter>;

// Capturing: the filters of a whole group, equal ones once.
class SeccompFilters {
 public:
  // Reads what the threads of a process have. Touches nothing.
  // Errors: kUnsupported for a filter that asks another process.
  Result<void> read(const FrozenProcess& process);

  // Writes what was read into the threads of the process's image.
  void describe(const FrozenProcess& process, image::Process& out) const;
  const SeccompFilterList& filters() const { return filters_; }

 private:
  Result<std::vector<uint32_t>> read_chain(const FrozenThread& thread);
  uint32_t number_of(const sys::Tracee::SeccompFilter& filter);

  SeccompFilterList filters_;
  std::map<std::pair<std::string, uint64_t>, uint32_t> numbers_;  // by code and flags
  std::map<HostPid, std::vector<uint32_t>> chains_;               // by thread
};

// Gives each thread of a process its mode and filters, which stay suspended until set_death(). Must
// come before the credentials, since a thread need not have the right to do so any more.
// Filters that all threads begin with become common to them, as SECCOMP_FILTER_FLAG_TSYNC makes
// them.
Result<void> apply_seccomp(std::vector<Task>& threads, const image::Process& process,
                           const SeccompFilterList& filters);

}  // namespace martlet::engine
