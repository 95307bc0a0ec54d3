// What the clients saw: counts of what must be zero, latencies, and the longest silence.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace martlet::demo {

struct Failures {
  uint64_t errors = 0;   // error replies, and bytes that are not the protocol
  uint64_t resets = 0;   // connections closed or reset by the server
  uint64_t lost = 0;     // requests without a reply
  uint64_t wrong = 0;    // replies with another content than the right one
  uint64_t damaged = 0;  // values of the data set that were not what had been written
  std::string first;     // the first failure, in words

  uint64_t total() const { return errors + resets + lost + wrong + damaged; }
  void note(uint64_t Failures::* counter, std::string what);
};

class Report {
 public:
  explicit Report(Nanoseconds start) : start_(start), last_reply_(start) {}

  // One right reply at `now` to a request that was due at `intended`.
  void add_reply(Nanoseconds intended, Nanoseconds now);
  void finish(Nanoseconds now) { end_ = now; }

  Failures& failures() { return failures_; }
  uint64_t replies() const { return latencies_.size(); }

  std::string to_text() const;
  std::string to_json() const;

 private:
  double seconds() const;
  double percentile_ms(double fraction) const;

  Nanoseconds start_;
  Nanoseconds end_{};
  Nanoseconds last_reply_;
  Nanoseconds longest_gap_{};        // between two replies, of any connection
  Nanoseconds longest_gap_start_{};  // since start_
  std::vector<uint32_t> latencies_;  // microseconds
  Failures failures_;
};

}  // namespace martlet::demo
