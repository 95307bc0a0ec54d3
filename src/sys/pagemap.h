// Which pages of a process exist: the PAGEMAP_SCAN ioctl (Linux 6.7), or reading
// /proc/PID/pagemap entry by entry where the kernel lacks it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

struct Range {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t size() const { return end - start; }
  bool operator==(const Range&) const = default;
};

class Pagemap {
 public:
  static Result<Pagemap> open(HostPid pid);

  // The parts of `within` whose pages are the process's own anonymous memory, in memory or in swap;
  // file pages and the shared zero page are left out.
  Result<std::vector<Range>> anonymous_pages(Range within) const;

  // The parts of `within` that are populated at all.
  Result<std::vector<Range>> present_pages(Range within) const;

  // The physical page behind each page of `within`; 0 where there is none or it is in swap.
  Result<std::vector<uint64_t>> frame_numbers(Range within) const;

 private:
  explicit Pagemap(Fd fd) : fd_(std::move(fd)) {}
  Result<std::vector<Range>> scan(Range within, uint64_t must_not_be) const;
  Result<std::vector<Range>> read_entries(Range within, bool anonymous_only) const;
  Result<void> entries(Range within, std::span<uint64_t> out) const;
  Fd fd_;
};

}  // namespace martlet::sys
