// Commands about hosts: this one, and the cluster it belongs to.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/output.h"

namespace martlet::cli {
namespace {

Result<int> print_info(const Session& session) {
  const agent::HostInfo info = TRY(session.client().info());
  if (session.json) {
    print_json(to_json(info));
    return 0;
  }
  fmt::print("{}",
             format_table({
                 {"host", info.name()},
                 {"version", info.version()},
                 {"kernel", info.kernel()},
                 {"peers at", info.peer_address().empty() ? "- (no cluster)" : info.peer_address()},
                 {"features", fmt::format("{}", fmt::join(info.kernel_features(), " "))},
                 {"free memory", human_bytes(static_cast<double>(info.memory_free_bytes()))},
                 {"free disk", human_bytes(static_cast<double>(info.disk_free_bytes()))},
             }));
  return 0;
}

Result<int> init(const Session& session) {
  const agent::InitClusterReply reply = TRY(session.client().init_cluster());
  if (session.json)
    print_json({{"address", reply.address()}, {"authority", reply.authority_fingerprint()}});
  else
    fmt::print(
        "cluster made; this host serves its peers at {}\n"
        "'martlet token' lets another host in\n",
        reply.address());
  return 0;
}

Result<int> create_token(const Session& session, double minutes) {
  const agent::CreateTokenReply reply = TRY(session.client().create_token(minutes * 60));
  if (session.json)
    print_json({{"token", reply.token()}, {"address", reply.address()}});
  else
    fmt::print("martlet join {} --token {}\n", reply.address(), reply.token());
  return 0;
}

Result<int> join(const Session& session, const std::string& address, const std::string& token) {
  agent::JoinClusterRequest request;
  request.set_address(address);
  request.set_token(token);
  const agent::JoinClusterReply reply = TRY(session.client().join_cluster(request));
  if (session.json)
    print_json({{"address", reply.address()}, {"authority", reply.authority_fingerprint()}});
  else
    fmt::print("joined; this host serves its peers at {}\n", reply.address());
  return 0;
}

Result<int> print_hosts(const Session& session) {
  const agent::ListHostsReply reply = TRY(session.client().list_hosts());
  Json all = Json::array();
  std::vector<std::vector<std::string>> rows{{"HOST", "ADDRESS", "VERSION", "KERNEL", "STATE"}};
  for (const agent::HostStatus& status : reply.hosts()) {
    all.push_back({{"name", status.host().name()},
                   {"address", status.host().address()},
                   {"reachable", status.reachable()},
                   {"version", status.version()},
                   {"kernel", status.kernel()},
                   {"problem", status.problem()}});
    const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
    rows.push_back({status.host().name(), status.host().address(), or_dash(status.version()),
                    or_dash(status.kernel()),
                    status.reachable() ? "reachable" : "unreachable: " + status.problem()});
  }
  if (session.json)
    print_json(all);
  else
    fmt::print("{}", format_table(rows));
  return 0;
}

void add_membership_commands(CLI::App& app, Session& session) {
  add_command(app, session, "init", "Make a cluster with this host as its first member",
              "  martlet init", [&session] { return init(session); });

  const auto minutes = std::make_shared<double>(60);
  add_command(app, session, "token", "Print the command that lets one more host join",
              "  martlet token\n  martlet token --valid 5",
              [&session, minutes] { return create_token(session, *minutes); })
      ->add_option("--valid", *minutes, "minutes until it expires")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();

  const auto address = std::make_shared<std::string>();
  const auto token = std::make_shared<std::string>();
  CLI::App* joins =
      add_command(app, session, "join", "Make this host a member of a cluster",
                  "  martlet join 192.0.2.1:7420 --token TOKEN",
                  [&session, address, token] { return join(session, *address, *token); });
  joins->add_option("address", *address, "HOST:PORT of the member that made the token")->required();
  joins->add_option("--token", *token, "what 'martlet token' printed there")->required();
}

void add_host_commands(CLI::App& app, Session& session) {
  const auto name = std::make_shared<std::string>();
  const auto address = std::make_shared<std::string>();
  CLI::App* add = add_command(app, session, "host-add", "Correct the address of another host",
                              "  martlet host-add host-b 192.0.2.2:7420",
                              [&session, name, address]() -> Result<int> {
                                agent::Host host;
                                host.set_name(*name);
                                host.set_address(*address);
                                TRY(session.client().add_host(host));
                                if (session.json)
                                  print_json({{"name", *name}, {"address", *address}});
                                return 0;
                              });
  add->add_option("name", *name, "the host, as its certificate names it")->required();
  add->add_option("address", *address, "HOST:PORT")->required();

  CLI::App* remove = add_command(app, session, "host-rm", "Forget another host",
                                 "  martlet host-rm host-b", [&session, name]() -> Result<int> {
                                   TRY(session.client().remove_host(*name));
                                   if (session.json)
                                     print_json({{"name", *name}, {"removed", true}});
                                   return 0;
                                 });
  remove->add_option("name", *name, "the host")->required();
}

}  // namespace

void add_cluster_commands(CLI::App& app, Session& session) {
  add_command(app, session, "info", "Show this host and what its kernel can do", "  martlet info",
              [&session] { return print_info(session); });
  add_command(app, session, "hosts", "List the other hosts of the cluster", "  martlet hosts",
              [&session] { return print_hosts(session); });
  add_membership_commands(app, session);
  add_host_commands(app, session);
}

}  // namespace martlet::cli
