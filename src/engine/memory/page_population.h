// Which pages of a running group a migration has to carry, found without stopping or changing it.
//
// The same pages that a capture would put into the image: private ones that are the process's own
// (those a fork left shared count for the parent), and the pages of shared memory once for the
// whole group. The group runs on, so the answer is of one moment.
#pragma once

#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "sys/pagemap.h"

namespace martlet::engine {

struct PopulatedRange {
  HostPid pid;
  sys::Range range;
};

struct PagePopulation {
  std::vector<PopulatedRange> ranges;
  std::vector<PopulatedRange> file_ranges;  // of these, private ones of file mappings
  uint64_t pages = 0;
  uint64_t shared_pages = 0;  // of these, in shared memory
  uint64_t file_pages = 0;    // in file_ranges
  uint64_t processes = 0;
  uint64_t threads = 0;
  uint64_t mappings = 0;
};

// Parents stand before their children. A process that ends meanwhile is left out; kGone if none is
// left.
Result<PagePopulation> find_populated_pages(const std::vector<HostPid>& processes);

}  // namespace martlet::engine
