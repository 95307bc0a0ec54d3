// The processor time of a cgroup: how much it has used, and how much it may use.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace martlet::sys {

class CpuQuota {
 public:
  // Of the cgroup that this directory freezes, in whatever hierarchy controls processors, with
  // those below it. kUnsupported if none does.
  static Result<CpuQuota> of(const std::string& freezer_cgroup);
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

}  // namespace martlet::sys
