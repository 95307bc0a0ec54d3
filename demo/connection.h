// One client of the server under test: sends requests without waiting for replies and verifies each
// reply, in order, against what the server must answer.
//
// A connection owns its keys, so the right answer to every request is known when it is sent: the
// value that this connection wrote last, or its counter plus one. Single-threaded.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "demo/report.h"
#include "demo/resp.h"

namespace martlet::demo {

// A connected TCP socket with TCP_NODELAY, whose blocking calls give up after some seconds.
Result<Fd> connect_to(const std::string& address, uint16_t port);

// `size` printable bytes that depend on the seed, so that a value from elsewhere is recognised.
std::string make_value(uint64_t seed, size_t size);

class Connection {
 public:
  // `name` begins the keys of this connection; no other connection, past or present, may have it.
  Connection(Fd socket, std::string name, size_t value_size);

  int fd() const { return socket_.get(); }
  bool alive() const { return socket_.valid(); }
  size_t outstanding() const { return expected_.size(); }
  bool wants_to_write() const { return sent_ < output_.size(); }

  // Queues the next request of this connection's sequence; it was due at `intended`.
  void issue(Nanoseconds intended);
  // Queues a read of every key, after which the server's whole state for this connection is
  // verified.
  void issue_final_reads(Nanoseconds now);

  // Sends as much as the socket takes.
  void flush(Report& report);
  // Verifies all replies that have come.
  void receive(const Clock& clock, Report& report);

 private:
  struct Expected {
    Nanoseconds intended;
    Reply reply;
  };

  void issue_read(Nanoseconds intended, size_t key);
  void verify(const Reply& reply, Nanoseconds now, Report& report);
  void close(Report& report, const std::string& why);
  std::string key_name(size_t key) const;
  std::string value_of(size_t key) const;

  Fd socket_;
  std::string name_;
  uint64_t seed_;  // of the values
  size_t value_size_;
  uint64_t issued_ = 0;
  uint64_t counter_ = 0;
  std::vector<uint64_t> versions_;  // of each key; 0 was never written
  std::deque<Expected> expected_;
  std::string output_;
  size_t sent_ = 0;  // bytes of output_
  ReplyParser parser_;
};

}  // namespace martlet::demo
