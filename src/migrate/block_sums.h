// Checksums of the blocks of a file, by which two copies are compared without sending them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::migrate {

// 128 bits of XXH3. Equal sums are taken for equal content.
struct BlockSum {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const BlockSum&) const = default;
};

// A power of two: small where it costs little memory, larger in large files.
uint32_t block_bytes_for(uint64_t file_bytes);
// Whether a size comes from block_bytes_for.
bool is_block_size(uint64_t bytes);

BlockSum sum_of(std::span<const std::byte> block);
// Of that many zero bytes.
BlockSum sum_of_zeros(size_t bytes);

// The blocks of the whole file; its holes are not read. The last block may be short.
Result<std::vector<BlockSum>> sum_blocks(const Fd& file, uint32_t block_bytes);

// The next part of the file at or after `offset` that is not a hole, at most up to `end`.
struct Extent {
  uint64_t start = 0;
  uint64_t end = 0;  // equal to start: there is none
};
Result<Extent> next_data(const Fd& file, uint64_t offset, uint64_t end);

std::string to_bytes(const std::vector<BlockSum>& sums);
Result<std::vector<BlockSum>> from_bytes(const std::string& bytes);

}  // namespace martlet::migrate
