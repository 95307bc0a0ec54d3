// This host as a member of a cluster: its identity, the other hosts, and connections to them.
//
// Owns STATE_DIR/pki and the records below "hosts/" and "tokens/" in the store. A host is a member
// once it has a certificate: from init() (which also makes the authority) or from join(). All
// functions may be called from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent_config.h"
#include "agent/peer.pb.h"
#include "agent/pki.h"
#include "base/result.h"
#include "cluster/store.h"

namespace grpc {
class Channel;
class ServerCredentials;
}  // namespace grpc

namespace martlet::agent {

class Membership {
 public:
  // Reads the identity, if there is one.
  static Result<std::unique_ptr<Membership>> open(const AgentConfig& config, cluster::Store& store);

  bool is_member() const;
  // kNotFound, with a remedy, if this host is not a member.
  Result<TlsIdentity> identity() const;
  // Where peers reach this host; empty until it listens.
  std::string address() const;
  void set_address(const std::string& address);

  // Makes a cluster with this host as its first member. kAlreadyExists if it is a member.
  Result<void> init();
  // Enters the cluster of the member at `address`. The others learn of it by announce().
  Result<void> join(const std::string& address, const std::string& token);
  // A secret that lets one host in, until it expires. Needs the authority's key.
  Result<std::string> create_token(double valid_seconds);
  // Lets a host in (the other side of join); the token is used up.
  Result<JoinReply> admit(const JoinRequest& request);

  // Tells every other host where this one is; a host that does not answer learns it when it next
  // announces itself.
  void announce();

  // Every other host.
  Result<std::vector<Host>> hosts() const;
  Result<Host> find_host(const std::string& name) const;
  Result<void> add_host(const Host& host);
  Result<void> remove_host(const std::string& name);

  // A connection that is encrypted, proves who we are, and fails unless the other side proves to be
  // this host.
  Result<std::shared_ptr<grpc::Channel>> connect(const Host& host) const;
  // For a server that asks clients for certificates of this cluster.
  Result<std::shared_ptr<grpc::ServerCredentials>> server_credentials() const;

 private:
  Membership(const AgentConfig& config, cluster::Store& store) : config_(config), store_(store) {}

  std::string file(const std::string& name) const { return config_.state_dir + "/pki/" + name; }
  Result<Authority> authority() const;
  Result<void> refuse_member() const;
  Result<void> save_identity(TlsIdentity identity);
  Result<void> use_up(const std::string& token);

  const AgentConfig& config_;
  cluster::Store& store_;
  mutable std::mutex mutex_;  // of what is below
  std::optional<TlsIdentity> identity_;
  std::string address_;
};

}  // namespace martlet::agent
