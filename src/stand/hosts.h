// Two hosts with an agent each, and a network for clients, joined by a bridge. For the inside of
// sys/seclusion: nothing here removes links or namespaces, they end with it.
#pragma once

#include <memory>
#include <vector>

#include "agent/client.h"
#include "base/fd.h"
#include "stand/place.h"
#include "sys/netlink.h"
#include "sys/program.h"

namespace martlet::stand {

inline constexpr const char* kContainerAddress = "10.78.0.50";
inline constexpr uint32_t kPrefixLength = 24;

class Hosts {
 public:
  // Programs are taken from the directory of this one. Both hosts are members of one cluster then.
  static Result<Hosts> start(const Place& place);

  // By the number in kHostNames. Calls end after `timeout`.
  agent::Client client(size_t host, Nanoseconds timeout) const;
  const Fd& client_network() const { return client_network_; }
  // How much each host can receive.
  Result<void> limit_link(double bytes_per_second);

 private:
  explicit Hosts(sys::Netlink bridge_network) : switch_(std::move(bridge_network)) {}
  Result<Fd> add_network(int number, const std::string& device);
  Result<void> add_host(const Place& place, size_t host);
  Result<void> await_agent(size_t host);
  Result<void> form_cluster();

  struct Host {
    std::string socket;
    std::string log;
    sys::RunningProgram agent;
  };
  sys::Netlink switch_;  // of this process's own network, which holds the bridge
  Fd client_network_;
  std::vector<Host> hosts_;
};

// Where martletd and martlet-stand-load are: beside the program that runs.
Result<std::string> program_beside(const std::string& name);

}  // namespace martlet::stand
