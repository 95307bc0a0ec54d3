// How one agent is set up: from its TOML file, then from the command line, which wins.
#pragma once

#include <string>

#include "base/result.h"

namespace martlet::agent {

struct AgentConfig {
  std::string name;                            // empty: the machine's host name
  std::string state_dir = "/var/lib/martlet";  // one agent only
  std::string socket = "/run/martlet/agent.sock";
  std::string listen = "0.0.0.0:7420";  // where peers are served; port 0: any
  std::string advertise;                // the host peers reach it by; empty: from `listen`
  std::string bridge = "br0";
  std::string uplink;  // a device to attach to the bridge; may be empty
  std::string cgroup;  // that holds the containers' cgroups; empty: "/martlet-NAME"
  std::string log_level = "info";
  std::string fault;  // for tests: what goes wrong in a migration, see docs/migration.md
};

// Reads a file over the defaults; a key that does not exist is refused.
Result<void> read_config_file(const std::string& path, AgentConfig& config);

// Fills in what depends on the machine, and checks every field.
Result<void> complete(AgentConfig& config);

}  // namespace martlet::agent
