// What the tests of this folder share: a directory, certificates, connected pairs.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "migrate/authority.h"
#include "migrate/tls.h"

namespace martlet::migrate {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "martlet-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <typename T>
T must(Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().to_string();
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

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
