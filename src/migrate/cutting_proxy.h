// Stands between two hosts of a test and cuts the first connection that carries too much.
#pragma once

#include <atomic>
#include <list>
#include <thread>

#include "migrate/test_util.h"

namespace martlet::migrate {

class CuttingProxy {
 public:
  // Leads to `target`, a port of this host. The connection that is the first to have sent more than
  // `limit` bytes to it is cut; all others are left alone.
  CuttingProxy(uint16_t target, uint64_t limit) : target_(target), limit_(limit) {
    accepting_ = std::jthread([this] { accept(); });
  }
  ~CuttingProxy() { ended_.cancel(); }
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  uint16_t port() const { return must(local_port(listener_.get())); }
  bool has_cut() const { return has_cut_; }

 private:
  struct Pair {
    SocketChannel client;
    SocketChannel server;
    std::jthread there{};
    std::jthread back{};
  };

  void accept() {
    const WaitLimits limits{.cancellation = &ended_};
    while (auto socket = accept_on(listener_.get(), limits)) {
      Pair& pair = pairs_.emplace_back(
          Pair{.client = must(SocketChannel::adopt(std::move(*socket), limits)),
               .server = must(SocketChannel::connect(
                   {.host = "127.0.0.1", .port = std::to_string(target_)}, limits))});
      pair.there = std::jthread([this, &pair] { pump(pair, pair.client, pair.server, limit_); });
      pair.back = std::jthread([this, &pair] { pump(pair, pair.server, pair.client, UINT64_MAX); });
    }
  }

  void pump(Pair& pair, SocketChannel& from, SocketChannel& to, uint64_t limit) {
    std::vector<std::byte> buffer(64 << 10);
    for (uint64_t carried = 0;;) {
      auto got = from.read(buffer);
      if (!got || *got == 0 || !to.write(std::span(buffer).first(*got))) break;
      carried += *got;
      if (carried > limit && !has_cut_.exchange(true)) break;
    }
    pair.client.shutdown();
    pair.server.shutdown();
  }

  const uint16_t target_;
  const uint64_t limit_;
  std::atomic<bool> has_cut_ = false;
  Cancellation ended_ = must(Cancellation::create());
  Fd listener_ = must(listen_on({.host = "127.0.0.1", .port = "0"}));
  std::list<Pair> pairs_;  // of the accepting thread
  std::jthread accepting_;
};

}  // namespace martlet::migrate
