// Pages of an image into the memory of a process that is being rebuilt.
#pragma once

#include <cstddef>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/ranges.h"
#include "image/stream.h"

namespace martlet::engine {

// A rebuilt process whose pages may be filled in.
struct FillTarget {
  HostPid pid;
  sys::Range reserved;  // where Martlet works in it: no page of the image may lie there
};

// Writes the pages of a kPages or kZeroPages record, whose run is `run`, into the process's memory,
// also where the process itself may not write. Any thread may call it.
Result<void> fill(const FillTarget& target, const image::PageRun& run, const image::Record& record);

// The same for runs that are small and many, as the last round leaves them: a call takes longer
// than the page, so many are written at a time. What was added is there after flush().
class PageFiller {
 public:
  Result<void> add(const FillTarget& target, const image::PageRun& run,
                   const image::Record& record);
  Result<void> flush();

 private:
  HostPid pid_;
  Ranges places_;  // in the order of `pages_`, which is not that of addresses
  std::vector<std::byte> pages_;
};

}  // namespace martlet::engine
