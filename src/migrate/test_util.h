// What the tests of this folder share: certificates, connected pairs.
#pragma once

#include <fstream>
#include <string>
#include <thread>

#include "base/test_util.h"
#include "migrate/authority.h"
#include "migrate/tls.h"

namespace martlet::migrate {

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// An authority and the TLS contexts of hosts certified by it.
class TestAuthority {
 public:
  TestAuthority() { must(create_authority(files())); }

  TlsContext context_of(const std::string& host) {
    TlsConfig config{.authority = directory_ / "ca.pem",
                     .certificate = directory_ / (host + ".pem"),
                     .key = directory_ / (host + ".key")};
    must(issue_certificate(files(), host, config));
    return must(TlsContext::load(config));
  }

 private:
  AuthorityFiles files() const {
    return {.certificate = directory_ / "ca.pem", .key = directory_ / "ca.key"};
  }
  TemporaryDirectory directory_;
};

struct ConnectionPair {
  std::unique_ptr<TlsConnection> client;
  std::unique_ptr<TlsConnection> server;
};

inline ConnectionPair connect_pair(const TlsContext& client, const TlsContext& server,
                                   const std::string& server_name, WaitLimits limits = {}) {
  Fd listener = must(listen_on({.host = "127.0.0.1", .port = "0"}));
  std::string port = std::to_string(must(local_port(listener.get())));
  ConnectionPair pair;
  std::jthread accepting([&] {
    pair.server = must(TlsConnection::accept(server, must(accept_on(listener.get(), {})), limits));
  });
  pair.client = must(
      TlsConnection::connect(client, {.host = "127.0.0.1", .port = port}, server_name, limits));
  return pair;
}

}  // namespace martlet::migrate
