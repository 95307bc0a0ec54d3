// How fast a running container writes its memory, estimated from a random sample of its pages.
//
// The sampled pages are hashed, and again after 10, 20, 40, ... ms; a page whose hash differs was
// written in between. Nothing is changed in the target and no fault is caused in it: it pays only
// for the memory bandwidth, some microseconds of its address space's lock per look, and on a
// machine without an idle core for 4 ms of processor time per look. What this does not see: a page
// written with what it already held, or changed and changed back. Such a page would be sent by a
// tracker that looks at the page tables, so real rounds may send more.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "models/working_set.h"

namespace martlet::engine {

struct MemorySample {
  uint64_t processes = 0;
  uint64_t threads = 0;
  uint64_t mappings = 0;
  uint64_t pages = 0;  // that a migration carries, an estimate of those without content left out
  uint64_t shared_pages = 0;  // of the populated pages, in shared memory
  uint64_t file_pages = 0;    // of the populated pages, private ones of file mappings
  double zero_share = 0;      // of the populated pages, that hold nothing but zeros
  std::vector<models::DirtyObservation> observations;
  std::vector<models::DirtyObservation> file_observations;  // of file_pages alone
};

struct SampleOptions {
  uint32_t pages = 2048;
  uint32_t file_pages = 512;                               // of file mappings, beside them
  Nanoseconds first_look = std::chrono::milliseconds(10);  // doubled from look to look
  uint32_t looks = 7;                                      // 10 ms to 640 ms
  uint64_t seed = 0;
};

// Blocks for as long as the last look is away. `processes` are a group's, its first process first;
// kGone if that ends.
Result<MemorySample> sample_memory(const std::vector<HostPid>& processes,
                                   const SampleOptions& options, Clock& clock);

}  // namespace martlet::engine
