// TCP connections that no process has yet: a handshake under way, or one that waits for accept().
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

class ConnectionsInSetup {
 public:
  // Those of every network namespace that a process of the tree lives in.
  static Result<ConnectionsInSetup> watch(HostPid root);

  // One line for each listener that has some: "3 to 0.0.0.0:80". They cannot be captured; they
  // vanish within a round trip and a call of accept(), so a caller waits until there are none.
  Result<std::vector<std::string>> list() const;
  // Then it keeps namespaces there that end meanwhile, and does not know of new ones.
  bool is_of_several() const { return networks_.size() > 1; }

 private:
  explicit ConnectionsInSetup(std::vector<Fd> networks) : networks_(std::move(networks)) {}
  std::vector<Fd> networks_;  // that answer for one each
};

}  // namespace martlet::engine
