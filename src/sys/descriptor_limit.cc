#include "sys/descriptor_limit.h"

#include <sys/resource.h>

#include <cstdlib>

#include "base/fd.h"

namespace martlet::sys {

void raise_descriptor_limit(HostPid pid) {
  if (auto most = read_file("/proc/sys/fs/nr_open")) {
    const rlim_t count = std::strtoull(most->c_str(), nullptr, 10);
    const rlimit all{count, count};
    if (count > 0 && ::prlimit(pid.value, RLIMIT_NOFILE, &all, nullptr) == 0) return;
  }
  rlimit own{};
  if (::prlimit(pid.value, RLIMIT_NOFILE, nullptr, &own) != 0) return;
  own.rlim_cur = own.rlim_max;
  ::prlimit(pid.value, RLIMIT_NOFILE, &own, nullptr);
}

}  // namespace martlet::sys
