#include "image/stream_format.h"

#define XXH_STATIC_LINKING_ONLY  // for the size of XXH3_state_t
#include <xxh_x86dispatch.h>

#include <bit>
#include <cstddef>
#include <cstring>

#include "image/format_version.h"
#include "image/group.pb.h"

namespace martlet::image {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

namespace {

uint64_t checksum_of(const RecordHeader& header, std::span<const std::byte> head,
                     std::span<const std::byte> body) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, &header, offsetof(RecordHeader, checksum));
  XXH3_64bits_update(&state, head.data(), head.size());
  XXH3_64bits_update(&state, body.data(), body.size());
  return XXH3_64bits_digest(&state);
}

Result<void> check_version(const Record& record, const StreamPosition& position) {
  Header message;
  if (!message.ParseFromArray(record.head.data(), static_cast<int>(record.head.size())))
    return position.bad("the header is not readable");
  if (is_readable_version(message.version())) return {};
  return std::unexpected(position
                             .bad("written in format version " + std::to_string(message.version()) +
                                  "; this version of Martlet reads versions " +
                                  std::to_string(kOldestFormatVersion) + " to " +
                                  std::to_string(kFormatVersion))
                             .error()
                             .with_remedy("use the version of Martlet that wrote it"));
}

}  // namespace

bool is_record_type(uint16_t number) {
  constexpr auto kLastOfRow = static_cast<uint16_t>(RecordType::kMounts);
  return (number >= static_cast<uint16_t>(RecordType::kHeader) && number <= kLastOfRow) ||
         number == static_cast<uint16_t>(RecordType::kCgroups) ||
         number == static_cast<uint16_t>(RecordType::kNetwork) ||
         number == static_cast<uint16_t>(RecordType::kAioContexts) ||
         number == static_cast<uint16_t>(RecordType::kNetworkNamespaces);
}

std::unexpected<Error> StreamPosition::bad(std::string cause) const {
  return fail(Code::kBadImage, "image record " + std::to_string(record) + " at byte " +
                                   std::to_string(offset) + ": " + std::move(cause));
}

RecordHeader make_record_header(RecordType type, uint64_t sequence, std::span<const std::byte> head,
                                std::span<const std::byte> body) {
  RecordHeader header{.magic = kRecordMagic,
                      .type = static_cast<uint16_t>(type),
                      .reserved = 0,
                      .head_length = static_cast<uint32_t>(head.size()),
                      .body_length = static_cast<uint32_t>(body.size()),
                      .sequence = sequence,
                      .checksum = 0};
  header.checksum = checksum_of(header, head, body);
  return header;
}

Result<RecordHeader> decode_record_header(std::span<const std::byte> bytes,
                                          const StreamPosition& position) {
  RecordHeader header;
  if (bytes.size() != sizeof header) return position.bad("truncated in its header");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kRecordMagic)
    return position.bad(position.record == 0 ? "not a Martlet image"
                                             : "damaged: no record starts here");
  if (header.head_length > kMaxHeadBytes || header.body_length > kMaxBodyBytes)
    return position.bad("damaged: impossible length");
  if (header.sequence != position.record)
    return position.bad("damaged: found record " + std::to_string(header.sequence) + " here");
  return header;
}

Result<Record> decode_record(const RecordHeader& header, std::span<const std::byte> payload,
                             const StreamPosition& position) {
  if (payload.size() != size_t{header.head_length} + header.body_length)
    return position.bad("truncated");
  Record record{.type = static_cast<RecordType>(header.type),
                .head = payload.first(header.head_length),
                .body = payload.subspan(header.head_length)};
  if (checksum_of(header, record.head, record.body) != header.checksum)
    return position.bad("damaged: wrong checksum");
  if (record.type == RecordType::kHeader) TRY(check_version(record, position));
  if (!is_record_type(header.type) || header.reserved != 0)
    return position.bad("of unknown type " + std::to_string(header.type));
  return record;
}

}  // namespace martlet::image
