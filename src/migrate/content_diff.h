// Which parts of a file differ from what its copy has.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <span>
#include <vector>

#include "migrate/block_sums.h"

namespace martlet::migrate {

struct DiffSink {
  std::function<Result<void>(uint64_t offset, std::span<const std::byte> bytes)> data;
  std::function<Result<void>(uint64_t offset, uint64_t length)> hole;
};

// Goes through the first `size` bytes of the file and tells `sink` every part whose block has
// another sum than `known` says; blocks beyond `known` differ. Returns the sums of what the copy
// has then, computed from the very bytes that the sink was given. If the file is made shorter
// meanwhile the sums are those of the part that was read.
Result<std::vector<BlockSum>> diff_content(const Fd& file, uint64_t size, uint32_t block_bytes,
                                           std::span<const BlockSum> known, const DiffSink& sink);

}  // namespace martlet::migrate
