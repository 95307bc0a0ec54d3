// Which pages of a process exist and were written: the PAGEMAP_SCAN ioctl (Linux 6.7), or reading
// /proc/PID/pagemap entry by entry where the kernel lacks it.
#pragma once

#include <cstdint>
#include <functional>
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

// Adds a range that begins no earlier than the last one; the two become one if they touch.
void append(std::vector<Range>& ranges, Range next);

bool has_pagemap_scan();

// Whether the kernel notes in each entry that its page was written (CONFIG_MEM_SOFT_DIRTY).
bool has_soft_dirty();
// Takes these notes back in all of the process, which stands still.
Result<void> clear_soft_dirty(HostPid pid);

class Pagemap {
 public:
  enum class Method { kBest, kEntries };  // kEntries: as on a kernel without PAGEMAP_SCAN

  static Result<Pagemap> open(HostPid pid, Method method = Method::kBest);

  // What a mapping is of. To tell the pages of a file from others the kernel looks at each page's
  // own record, which takes ten times as long as the page table alone.
  enum class Backing { kNone, kFile };

  // The parts of `within` whose pages are the process's own anonymous memory, in memory or in swap;
  // file pages and the shared zero page are left out.
  Result<std::vector<Range>> anonymous_pages(Range within, Backing backing) const;

  // The parts of `within` where anything is, the shared zero page and pages of files included.
  Result<std::vector<Range>> occupied_pages(Range within) const;

  // These find private pages. Of tracked mappings (Userfaultfd::track_writes): the pages that
  // were written since they were last taken. They are write-protected again in the same step, so
  // that no write is missed. The process must stand still if it does direct I/O into its memory:
  // the device's writes are seen only if they start and end between two calls.
  // By entries: of all mappings, the pages that are noted as soft-dirty; clear_soft_dirty() takes
  // them.
  Result<std::vector<Range>> take_written(Range within, Backing backing) const;
  // Without taking anything: those that may have been written since.
  Result<std::vector<Range>> peek_written(Range within, Backing backing) const;
  // The pages of mappings that are not tracked; each of them may have been written. None, by
  // entries.
  Result<std::vector<Range>> untracked_pages(Range within, Backing backing) const;

  // All pages of `within`, which lies in one mapping of a process that stands still, and those of
  // them that may have been written since they were last taken. Many times faster than the
  // functions above if most of `within` is pages, and most of those were not written.
  struct Look {
    std::vector<Range> pages;
    std::vector<Range> changed;
    // Guard regions (MADV_GUARD_INSTALL, Linux 6.13), which no function reports as pages. A kernel
    // before 6.16 tells them as pages in swap.
    std::vector<Range> guards;
  };
  // kNone: `changed` stays empty. By entries on a kernel without soft-dirty: all are changed.
  enum class Tracking { kNone, kByWrites };
  Result<Look> look(Range within, Backing backing, Tracking tracking) const;

  // Guard regions of a mapping whose pages are not private, which the kernel has since Linux 6.15.
  Result<std::vector<Range>> guards_of_shared(Range within) const;

  // The physical page behind each page of `within`; 0 where there is none or it is in swap.
  Result<std::vector<uint64_t>> frame_numbers(Range within) const;

 private:
  Pagemap(Fd fd, Method method, bool knows_guards)
      : fd_(std::move(fd)), method_(method), knows_guards_(knows_guards) {}
  struct Filter;
  using OnRange = std::function<void(Range, uint64_t categories)>;
  Result<void> scan(Range within, const Filter& filter, const OnRange& on_range) const;
  Result<std::vector<Range>> find(Range within, const Filter& filter) const;
  Result<Look> look_by_exceptions(Range within, Backing backing, Tracking tracking) const;
  // What there is page by page, by entries.
  struct EntryLook {
    Look look;  // `changed`: soft-dirty ones
    std::vector<Range> occupied;
  };
  Result<EntryLook> read_entries(Range within) const;
  Result<void> entries(Range within, std::span<uint64_t> out) const;
  Fd fd_;
  Method method_;
  bool knows_guards_;  // the kernel does
};

}  // namespace martlet::sys
