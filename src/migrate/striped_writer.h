// One stream of bytes over several connections, to a StripedReader.
//
// The stream is cut into blocks (stripe_format.h), which wait in one queue of bounded length; each
// connection has a thread that takes the next block whenever it is through with its last one. So a
// connection never carries a block before one with a lower number, and what waits in the queue
// waits only for connections from which the other side takes.
//
// write() returns when its last byte is in the queue, flush() when all are on their way. A
// connection that fails makes every later call fail with its cause. One thread at a time uses it;
// the destructor ends the connections.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "migrate/drainable_writer.h"
#include "migrate/rate_limiter.h"
#include "migrate/tls.h"

namespace martlet::migrate {

class StripedWriter final : public DrainableWriter {
 public:
  // The connections keep to no limit of their own. `limiter` is borrowed; null: no limit.
  StripedWriter(std::vector<std::unique_ptr<TlsConnection>> connections, RateLimiter* limiter);
  ~StripedWriter() override;
  StripedWriter(const StripedWriter&) = delete;
  StripedWriter& operator=(const StripedWriter&) = delete;

  Result<void> write(std::span<const std::span<const std::byte>> pieces) override;
  Result<void> flush() override;
  Result<void> drain() override;

 private:
  using Block = std::vector<std::byte>;  // with its header

  Result<void> append(std::span<const std::byte> bytes);
  void begin_block();
  Result<void> put_block();
  void send_blocks(size_t stripe);
  std::optional<Block> next_block();
  void finish_block(Block block);
  void fail_with(Error error);
  // Waits for `condition`, or for a connection to fail.
  template <typename Condition>
  Result<void> await(std::unique_lock<std::mutex>& lock, Condition condition);

  RateLimiter* const limiter_;
  std::vector<std::unique_ptr<TlsConnection>> connections_;
  const size_t queue_length_;
  Block filling_;  // empty: none was begun
  size_t filling_limit_ = 0;
  uint64_t next_number_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable queued_;
  std::condition_variable sent_;  // also: a connection has failed
  std::deque<Block> waiting_;
  std::vector<Block> spare_;  // memory of blocks that were sent
  size_t sending_ = 0;        // blocks that a thread has taken
  std::optional<Error> error_;
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace martlet::migrate
