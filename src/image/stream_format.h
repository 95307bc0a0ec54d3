// The bytes of one record, as docs/image-format.md specifies them. Nothing here reads or writes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "image/stream.h"

namespace martlet::image {

inline constexpr uint32_t kRecordMagic = 0x4c54524d;  // "MRTL"

// Before every record, little-endian. `checksum` is XXH3-64 over the fields before it, the head and
// the body; `sequence` counts the records, so that one that is missing or repeated is found.
struct RecordHeader {
  uint32_t magic;
  uint16_t type;
  uint16_t reserved;  // 0
  uint32_t head_length;
  uint32_t body_length;
  uint64_t sequence;
  uint64_t checksum;
};
static_assert(sizeof(RecordHeader) == 32);

bool is_record_type(uint16_t number);

// Where in a stream a record stands, for messages.
struct StreamPosition {
  uint64_t record = 0;  // from 0
  uint64_t offset = 0;  // of the record's first byte

  std::unexpected<Error> bad(std::string cause) const;  // a kBadImage that names the position
};

RecordHeader make_record_header(RecordType type, uint64_t sequence, std::span<const std::byte> head,
                                std::span<const std::byte> body);

// Refuses a header whose magic, sequence or lengths cannot be right. Everything that is allocated
// for a record is bounded by what passes here.
Result<RecordHeader> decode_record_header(std::span<const std::byte> bytes,
                                          const StreamPosition& position);

// Verifies the checksum and, for kHeader, the version of the format.
Result<Record> decode_record(const RecordHeader& header, std::span<const std::byte> payload,
                             const StreamPosition& position);

}  // namespace martlet::image
