// The network namespaces of a group by number: 0 is its root's, the others are those that its
// processes have made (network_namespaces.h).
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

class Networks {
 public:
  // The number of one that is not the group's.
  static constexpr uint32_t kForeign = UINT32_MAX;

  explicit Networks(HostPid root) : root_(root) {}

  uint32_t add(Fd name_space);
  // The root's counts.
  uint32_t count() const { return static_cast<uint32_t>(others_.size()) + 1; }

  // The one that a socket was made in, or kForeign.
  Result<uint32_t> of_socket(int socket);

  // A duplicate; kBadImage if there is no such number.
  Result<Fd> open(uint32_t number) const;
  // Runs `work` inside and waits for it.
  Result<void> run_inside(uint32_t number, const std::function<Result<void>()>& work) const;

 private:
  HostPid root_;
  std::vector<Fd> others_;
  std::map<uint64_t, uint32_t> by_sockets_;  // as the kernel numbers them
};

}  // namespace martlet::engine
