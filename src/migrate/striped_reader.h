// The other side of a StripedWriter: puts the blocks of several connections back in order.
//
// Each connection has a thread that reads a few blocks ahead and no more, so memory is bounded.
// Since numbers rise on every connection, the next block is the first of those that its connection
// has left to give: nobody who is ahead keeps it from arriving. A connection that ends or fails
// makes read() fail at once: the stream tells its end itself, and its reader stops there.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "image/byte_stream.h"
#include "migrate/stripe_format.h"
#include "migrate/tls.h"

namespace martlet::migrate {

class StripedReader final : public image::ByteReader {
 public:
  // A read waits as long as `limits` say, whichever connection brings the next block.
  StripedReader(std::vector<std::unique_ptr<TlsConnection>> connections, const WaitLimits& limits);
  // Ends the connections.
  ~StripedReader() override;
  StripedReader(const StripedReader&) = delete;
  StripedReader& operator=(const StripedReader&) = delete;

  // Never 0. Errors: those of the connections, kTimeout, kBadImage.
  Result<size_t> read(std::span<std::byte> buffer) override;

 private:
  struct Block {
    uint64_t number = 0;
    std::vector<std::byte> bytes{};
  };
  struct Stripe {
    std::unique_ptr<TlsConnection> connection;
    std::deque<Block> arrived{};
  };

  Result<void> advance();
  Result<Stripe*> find_next();
  void receive_blocks(Stripe& stripe, const std::string& name);
  Result<void> receive_block(Stripe& stripe);
  bool await_room(const Stripe& stripe);
  std::vector<std::byte> take_spare();

  const std::chrono::milliseconds timeout_;
  std::vector<std::byte> current_;  // the reader's block
  size_t taken_ = 0;                // bytes of it
  uint64_t next_number_ = 0;

  std::mutex mutex_;  // guards what follows, but for the connections
  std::condition_variable arrived_;
  std::condition_variable room_;
  std::vector<Stripe> stripes_;
  std::vector<std::vector<std::byte>> spare_;  // memory of blocks that were read
  std::optional<Error> error_;
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace martlet::migrate
