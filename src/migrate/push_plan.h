// What of a container's memory still has to be sent to the host where it runs, and in which order.
//
// Wanted pages are taken out of their turn, and the push goes on around the last of them, because
// what a task needs next is mostly near. Each page is given out once. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "base/ids.h"
#include "engine/memory/ranges.h"

namespace martlet::migrate {

struct PageSpan {
  NsPid process;
  sys::Range range;
};

class PushPlan {
 public:
  void add(const PageSpan& span);

  // The next pages, of one process and at most `limit` bytes; nothing if all are given out.
  std::optional<PageSpan> next(uint64_t limit);
  // Those of the span that are left, as a list.
  engine::Ranges take(const PageSpan& span);
  // What comes next.
  void go_on_at(NsPid process, uint64_t address);

  uint64_t left() const;

 private:
  using Spans = std::map<uint64_t, uint64_t>;  // start to end
  void cut(Spans& spans, sys::Range range);

  mutable std::mutex mutex_;
  std::map<NsPid, Spans> spans_;  // without empty ones
  NsPid process_;                 // where the push goes on
  uint64_t address_ = 0;
  uint64_t left_ = 0;
};

}  // namespace martlet::migrate
