// Compressed record bodies: a decorator for the writing side, and what every Source does by itself
// on the reading side (docs/image-format.md, "Compressed records").
//
// The engine knows nothing of it: it puts records into a CompressingSink and gets the same records
// from a Source. One thread at a time uses an object.
#pragma once

#include <vector>

#include "image/stream.h"

namespace martlet::image {

// As the format numbers them.
enum class Codec : uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };

// Passes records on to `next`, which it borrows, with their bodies compressed if that makes them
// smaller.
class CompressingSink final : public Sink {
 public:
  CompressingSink(Sink& next, Codec codec);
  ~CompressingSink() override;
  CompressingSink(const CompressingSink&) = delete;
  CompressingSink& operator=(const CompressingSink&) = delete;

  Result<void> put(RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override;
  Result<void> flush() override { return next_.flush(); }

 private:
  // Bytes of the compressed body in buffer_; 0: it is not worth it.
  size_t compress(std::span<const std::byte> body);

  Sink& next_;
  const Codec codec_;
  struct Zstd;
  std::unique_ptr<Zstd> zstd_;
  std::vector<std::byte> head_;
  std::vector<std::byte> buffer_;
};

// Turns a kCompressed record into the one that was put. kBadImage: damaged or impossible. The
// result is valid until the next call. Never holds more than kMaxBodyBytes.
class Expander {
 public:
  Result<Record> expand(const Record& record);

 private:
  std::vector<std::byte> body_;
};

}  // namespace martlet::image
