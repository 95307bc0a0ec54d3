#include "migrate/block_sums.h"

#define XXH_STATIC_LINKING_ONLY  // for the size of XXH3_state_t
#include <sys/stat.h>
#include <unistd.h>
#include <xxh_x86dispatch.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>

namespace martlet::migrate {

namespace {

constexpr uint32_t kSmallestBlock = 16u << 10;
constexpr uint32_t kLargestBlock = 64u << 20;
constexpr uint64_t kMaxBlocks = 1u << 19;  // their sums are one message
constexpr size_t kReadBytes = 256u << 10;  // fits the second-level cache

}  // namespace

uint32_t block_bytes_for(uint64_t file_bytes) {
  uint64_t wanted = std::bit_ceil(file_bytes / kMaxBlocks + 1);
  return static_cast<uint32_t>(std::clamp<uint64_t>(wanted, kSmallestBlock, kLargestBlock));
}

bool is_block_size(uint64_t bytes) {
  return std::has_single_bit(bytes) && bytes >= kSmallestBlock && bytes <= kLargestBlock;
}

BlockSum sum_of(std::span<const std::byte> block) {
  XXH128_hash_t hash = XXH3_128bits(block.data(), block.size());
  return {.low = hash.low64, .high = hash.high64};
}

BlockSum sum_of_zeros(size_t bytes) {
  std::vector<std::byte> zeros(bytes);
  return sum_of(zeros);
}

Result<Extent> next_data(const Fd& file, uint64_t offset, uint64_t end) {
  if (offset >= end) return Extent{end, end};
  off_t start = ::lseek(file.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (start < 0 && errno == ENXIO) return Extent{end, end};
  if (start < 0) return fail_errno("seek data");
  if (static_cast<uint64_t>(start) >= end) return Extent{end, end};
  off_t hole = ::lseek(file.get(), start, SEEK_HOLE);
  if (hole < 0 && errno == ENXIO) return Extent{end, end};  // it was just made shorter
  if (hole < 0) return fail_errno("seek hole");
  return Extent{static_cast<uint64_t>(start), std::min(static_cast<uint64_t>(hole), end)};
}

Result<std::vector<BlockSum>> sum_blocks(const Fd& file, uint32_t block_bytes) {
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return fail_errno("stat");
  const auto size = static_cast<uint64_t>(status.st_size);
  std::vector<BlockSum> sums((size + block_bytes - 1) / block_bytes, sum_of_zeros(block_bytes));
  if (size % block_bytes != 0) sums.back() = sum_of_zeros(size % block_bytes);
  const size_t chunk = std::max<size_t>(block_bytes, kReadBytes);
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(chunk);
  for (uint64_t offset = 0; offset < size;) {
    Extent data = TRY(next_data(file, offset, size));
    if (data.start == data.end) break;
    for (offset = data.start / block_bytes * block_bytes; offset < data.end; offset += chunk) {
      size_t wanted = std::min<uint64_t>(chunk, size - offset);
      ssize_t got = ::pread(file.get(), buffer.get(), wanted, static_cast<off_t>(offset));
      if (got < 0) return fail_errno("read");
      for (size_t at = 0; at < static_cast<size_t>(got); at += block_bytes)
        sums[(offset + at) / block_bytes] = sum_of(
            {buffer.get() + at, std::min<size_t>(block_bytes, static_cast<size_t>(got) - at)});
    }
  }
  return sums;
}

std::string to_bytes(const std::vector<BlockSum>& sums) {
  std::string bytes(sums.size() * sizeof(BlockSum), '\0');
  std::memcpy(bytes.data(), sums.data(), bytes.size());
  return bytes;
}

Result<std::vector<BlockSum>> from_bytes(const std::string& bytes) {
  if (bytes.size() % sizeof(BlockSum) != 0)
    return fail(Code::kBadImage, "the peer sent half a checksum");
  std::vector<BlockSum> sums(bytes.size() / sizeof(BlockSum));
  std::memcpy(sums.data(), bytes.data(), bytes.size());
  return sums;
}

}  // namespace martlet::migrate
