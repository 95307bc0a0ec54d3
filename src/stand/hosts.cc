#include "stand/hosts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "sys/namespaces.h"

namespace martlet::stand {
namespace {

constexpr const char* kBridge = "sw0";
constexpr int kClientNumber = 200;
constexpr auto kStart = std::chrono::seconds(30);
constexpr auto kJoin = std::chrono::seconds(30);
constexpr auto kLook = std::chrono::milliseconds(20);

std::string address_of(int number) {
  return fmt::format("10.78.0.{}", number);
}

std::string port_of(int number) {
  return fmt::format("p{}", number);
}

// Higher than that of any other port: a bridge that took the lowest would change its own.
sys::MacAddress mac_of(int number) {
  return {{0xfe, 0xff, 0xff, 0xff, 0xff, static_cast<uint8_t>(number)}};
}

Result<void> set_address(sys::Netlink& netlink, const std::string& device, int number) {
  const sys::IpPrefix address{TRY(sys::parse_ip(address_of(number))), kPrefixLength};
  return netlink.add_address(device, address);
}

// The agent would make the bridge, too; made here it has the host's address from the start.
Result<void> add_own_bridge(const Fd& network, int number) {
  sys::Netlink netlink = TRY(sys::Netlink::open_in(network));
  TRY(netlink.add_bridge("br0"));
  TRY(netlink.set_up("br0"));
  return set_address(netlink, "br0", number);
}

Result<std::string> last_line(const std::string& path) {
  std::string text = TRY(read_file(path));
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

Result<std::string> program_beside(const std::string& name) {
  std::error_code failed;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto path = own.parent_path() / name;
  if (failed || ::access(path.c_str(), X_OK) != 0)
    return std::unexpected(Error(Code::kNotFound, fmt::format("no program {}", path.string()))
                               .with_remedy("install it beside martlet"));
  return path.string();
}

Result<Hosts> Hosts::start(const Place& place) {
  Hosts hosts(TRY(sys::Netlink::open()));
  TRY(hosts.switch_.add_bridge(kBridge));
  TRY(hosts.switch_.set_up(kBridge));
  hosts.client_network_ = TRY(hosts.add_network(kClientNumber, "eth0"));
  sys::Netlink clients = TRY(sys::Netlink::open_in(hosts.client_network_));
  TRY(set_address(clients, "eth0", kClientNumber));
  for (size_t host = 0; host < kHostNames.size(); ++host)
    TRY_IN(hosts.add_host(place, host), kHostNames[host]);
  for (size_t host = 0; host < kHostNames.size(); ++host)
    TRY_IN(hosts.await_agent(host), kHostNames[host]);
  TRY(hosts.form_cluster());
  return hosts;
}

// A network with a link `device` to the bridge.
Result<Fd> Hosts::add_network(int number, const std::string& device) {
  Fd network = TRY(sys::new_namespace(sys::NamespaceKind::kNetwork));
  TRY(sys::run_inside(network, sys::NamespaceKind::kNetwork, [&]() -> Result<void> {
    sys::Netlink netlink = TRY(sys::Netlink::open());
    TRY(netlink.set_up("lo"));
    TRY(netlink.add_veth(device, port_of(number), HostPid(::getpid())));
    TRY(netlink.set_mac(device, mac_of(number)));
    return netlink.set_up(device);
  }));
  TRY(switch_.set_master(port_of(number), kBridge));
  TRY(switch_.set_up(port_of(number)));
  return network;
}

Result<void> Hosts::add_host(const Place& place, size_t host) {
  const std::string name = kHostNames[host];
  const int number = static_cast<int>(host) + 1;
  const std::string directory = place.directory() + "/" + name;
  const Fd network = TRY(add_network(number, "up0"));
  TRY(add_own_bridge(network, number));
  const std::string log_path = directory + ".log";
  const Fd log = TRY(open_file(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  const std::string socket = directory + ".sock";
  const sys::Program agent{
      .args = {TRY(program_beside("martletd")), "--name", name, "--state-dir", directory,
               "--socket", socket, "--cgroup", place.cgroup_of(name), "--listen",
               address_of(number) + ":7420", "--bridge", "br0", "--uplink", "up0"},
      .descriptors = {{log.get(), 1}, {log.get(), 2}}};
  return sys::run_inside(network, sys::NamespaceKind::kNetwork, [&]() -> Result<void> {
    hosts_.push_back({socket, log_path, TRY(sys::start_program(agent))});
    return {};
  });
}

Result<void> Hosts::await_agent(size_t host) {
  SystemClock clock;
  const Stopwatch watch(clock);
  while (!client(host, kStart).info()) {
    if (const auto ended = hosts_[host].agent.wait(kLook))
      return fail(Code::kGone, fmt::format("its agent ended with {}: {}", *ended,
                                           TRY(last_line(hosts_[host].log))));
    if (watch.elapsed() > kStart) return fail(Code::kTimeout, "its agent does not answer");
  }
  return {};
}

Result<void> Hosts::form_cluster() {
  agent::Client first = client(0, kJoin);
  TRY(first.init_cluster());
  const agent::CreateTokenReply invitation = TRY(first.create_token(kJoin.count()));
  agent::JoinClusterRequest request;
  request.set_address(invitation.address());
  request.set_token(invitation.token());
  TRY(client(1, kJoin).join_cluster(request));
  return {};
}

agent::Client Hosts::client(size_t host, Nanoseconds timeout) const {
  return agent::Client(hosts_[host].socket, timeout);
}

Result<void> Hosts::limit_link(double bytes_per_second) {
  for (size_t host = 0; host < hosts_.size(); ++host)
    TRY(switch_.limit_rate(port_of(static_cast<int>(host) + 1),
                           static_cast<uint64_t>(bytes_per_second)));
  return {};
}

}  // namespace martlet::stand
