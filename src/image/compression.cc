#include "image/compression.h"

#include <lz4.h>
#include <zstd.h>

#include <cstring>

#include "base/check.h"
#include "image/stream_format.h"

namespace martlet::image {

namespace {

// Below this size a body is not worth the work.
constexpr size_t kMinBytes = 256;
constexpr int kZstdLevel = 1;

// Before the record's own head, little-endian.
struct Prelude {
  uint16_t type;
  uint8_t codec;
  uint8_t reserved;  // 0
  uint32_t body_length;
};
static_assert(sizeof(Prelude) == 8);

int lz4_size(size_t size) {
  CHECK(size <= kMaxBodyBytes);
  return static_cast<int>(size);
}

const char* lz4_data(std::span<const std::byte> bytes) {
  return reinterpret_cast<const char*>(bytes.data());
}

char* lz4_data(std::span<std::byte> bytes) {
  return reinterpret_cast<char*>(bytes.data());
}

bool decompress(Codec codec, std::span<const std::byte> from, std::span<std::byte> into) {
  switch (codec) {
    case Codec::kLz4:
      return ::LZ4_decompress_safe(lz4_data(from), lz4_data(into), lz4_size(from.size()),
                                   lz4_size(into.size())) == lz4_size(into.size());
    case Codec::kZstd:
      return ::ZSTD_decompress(into.data(), into.size(), from.data(), from.size()) == into.size();
    default: return false;
  }
}

std::unexpected<Error> bad(const char* cause) {
  return fail(Code::kBadImage, std::string("a compressed record ") + cause);
}

// Everything that decides about memory is checked here. A header inside would not have its version
// checked, and a compressed record inside would make the limit of a body meaningless.
Result<Prelude> read_prelude(const Record& record) {
  Prelude prelude;
  if (record.head.size() < sizeof prelude) return bad("without the beginning of its head");
  std::memcpy(&prelude, record.head.data(), sizeof prelude);
  const auto type = static_cast<RecordType>(prelude.type);
  if (!is_record_type(prelude.type) || type == RecordType::kCompressed ||
      type == RecordType::kHeader || prelude.reserved != 0)
    return bad("that holds no record");
  if (prelude.body_length > kMaxBodyBytes || prelude.body_length <= record.body.size())
    return bad("of impossible length");
  return prelude;
}

}  // namespace

struct CompressingSink::Zstd {
  Zstd() : context(::ZSTD_createCCtx()) { CHECK(context != nullptr); }
  ~Zstd() { ::ZSTD_freeCCtx(context); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
  ZSTD_CCtx* context;
};

CompressingSink::CompressingSink(Sink& next, Codec codec)
    : next_(next),
      codec_(codec),
      zstd_(codec == Codec::kZstd ? std::make_unique<Zstd>() : nullptr) {}

CompressingSink::~CompressingSink() = default;

Result<void> CompressingSink::put(RecordType type, std::span<const std::byte> head,
                                  std::span<const std::byte> body) {
  const bool fits = body.size() <= kMaxBodyBytes && head.size() + sizeof(Prelude) <= kMaxHeadBytes;
  const bool worth = codec_ != Codec::kNone && body.size() >= kMinBytes && fits;
  const size_t size = worth ? compress(body) : 0;
  if (size == 0) return next_.put(type, head, body);
  const Prelude prelude{.type = static_cast<uint16_t>(type),
                        .codec = static_cast<uint8_t>(codec_),
                        .reserved = 0,
                        .body_length = static_cast<uint32_t>(body.size())};
  const auto bytes = std::as_bytes(std::span(&prelude, 1));
  head_.assign(bytes.begin(), bytes.end());
  head_.insert(head_.end(), head.begin(), head.end());
  return next_.put(RecordType::kCompressed, head_, std::span(buffer_).first(size));
}

// The buffer is a sixteenth smaller than the body, so both libraries give up on what does not
// become at least that much smaller.
size_t CompressingSink::compress(std::span<const std::byte> body) {
  const size_t room = body.size() - body.size() / 16;
  if (buffer_.size() < room) buffer_.resize(room);
  if (codec_ == Codec::kLz4) {
    const int size = ::LZ4_compress_default(lz4_data(body), lz4_data(std::span(buffer_)),
                                            lz4_size(body.size()), lz4_size(room));
    return size > 0 ? static_cast<size_t>(size) : 0;
  }
  const size_t size = ::ZSTD_compressCCtx(zstd_->context, buffer_.data(), room, body.data(),
                                          body.size(), kZstdLevel);
  return ::ZSTD_isError(size) ? 0 : size;
}

Result<Record> Expander::expand(const Record& record) {
  const Prelude prelude = TRY(read_prelude(record));
  if (body_.size() < prelude.body_length) body_.resize(prelude.body_length);
  const std::span body = std::span(body_).first(prelude.body_length);
  if (!decompress(static_cast<Codec>(prelude.codec), record.body, body))
    return bad("whose contents are damaged");
  return Record{.type = static_cast<RecordType>(prelude.type),
                .head = record.head.subspan(sizeof prelude),
                .body = body};
}

}  // namespace martlet::image
