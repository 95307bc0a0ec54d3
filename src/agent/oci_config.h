// The OCI configuration (config.json) of a container, made from its declaration.
//
// Pure: text in, text out. What the declaration fixes (namespaces, cgroup, limits, no terminal)
// wins over what a bundle says; what a bundle adds (user, mounts, capabilities, seccomp) stays.
#pragma once

#include <string>
#include <vector>

#include "agent/container.h"
#include "base/result.h"

namespace martlet::agent {

struct OciEnvironment {
  std::string cgroup;                           // such as "/martlet-host-a/redis"
  std::string private_directory;                // hidden from a container that sees the host's root
  std::vector<std::string> agent_capabilities;  // "CAP_CHOWN", ...: all that can be given
};

// What runs as PID 1: the declared command, or the stub that a restore puts in its place, which
// gets every capability of the agent.
enum class FirstProcess { kDeclared, kStub };

Result<std::string> make_oci_config(const Container& container, const OciEnvironment& environment,
                                    FirstProcess first);

// Whether a container may change what its network is made of, and the settings below /proc/sys/net.
struct NetworkRights {
  bool configuration = false;
  bool settings = false;
};
NetworkRights network_rights(const Declaration& declaration);

// The descriptor that the stub's program is passed as.
inline constexpr int kStubControl = 3;
inline constexpr int kStubProgram = 4;

}  // namespace martlet::agent
