// How a stream of bytes is cut when several connections carry it: docs/wire-protocol.md.
//
// Blocks are numbered from 0 in the order of the stream. A connection carries some of them, with
// rising numbers, each behind its header.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace martlet::migrate {

inline constexpr size_t kMaxBlockBytes = 256u << 10;

struct BlockHeader {
  uint64_t number;
  uint32_t length;  // of what follows, 1 to kMaxBlockBytes
  uint32_t zero = 0;
};
static_assert(sizeof(BlockHeader) == 16);
static_assert(std::endian::native == std::endian::little, "fields are sent as they are in memory");

// For messages, where people count from 1.
inline std::string stripe_name(size_t stripe, size_t count) {
  return "connection " + std::to_string(stripe + 1) + " of " + std::to_string(count) +
         " for the state";
}

}  // namespace martlet::migrate
