// The processor time of a cgroup: how much it has used, and how much it may use.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

class CpuQuota {
 public:
  // Of the cgroup that the process is in. kUnsupported if no hierarchy there controls processors.
  static Result<CpuQuota> of(HostPid pid);
  // For tests: directories of a v1 cgroup in the hierarchies "cpu" and "cpuacct", or twice that of
  // a v2 cgroup.
  CpuQuota(std::string cpu, std::string accounting, bool unified)
      : cpu_(std::move(cpu)), accounting_(std::move(accounting)), unified_(unified) {}

  Result<Nanoseconds> used() const;  // since the cgroup was made
  // At most so many processors' worth of time; 0: no limit.
  Result<void> limit(double processors) const;

 private:
  std::string cpu_;
  std::string accounting_;
  bool unified_;
};

// The line of /proc/PID/cgroup for this controller ("" for v2), without what is before the path.
// Empty if there is none.
std::string cgroup_path(std::string_view proc_cgroup, std::string_view controller);

}  // namespace martlet::sys
