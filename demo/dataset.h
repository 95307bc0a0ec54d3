// The bulk of the server's data: many values, written once before the load and read back after it,
// over a connection that is idle in between.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "demo/report.h"

namespace martlet::demo {

class Dataset {
 public:
  // Uses `socket` (blocking) for `values` values of 4 KiB each.
  Dataset(Fd socket, uint64_t values) : socket_(std::move(socket)), values_(values) {}

  Result<void> load();
  // Counts each value that is not what load() wrote.
  Result<void> verify(Failures& failures);

 private:
  Fd socket_;
  uint64_t values_;
};

}  // namespace martlet::demo
