// What the other side has of a shared memory object.
//
// Nothing in the kernel tells for certain which pages of shared memory have changed: a mapping that
// came and went, a task that has ended, a hole that was punched leave no trace. So pages are
// compared: of each page that was sent a hash of 128 bits is kept, a 256th of its size.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>

#include "base/result.h"
#include "engine/memory/content_reader.h"
#include "image/stream.h"

namespace martlet::engine {

class SentContent {
 public:
  // Puts the pages that differ from what was sent, and zeros where there are none any more. Returns
  // the bytes of the pages put.
  using PutZeros = std::function<Result<void>(sys::Range)>;
  Result<uint64_t> put_changes(ContentReader& reader, const ContentReader::Visit& put,
                               const PutZeros& put_zeros);
  // The same into records of pages, where the object is `owner`.
  Result<uint64_t> put_changes(image::Sink& sink, uint32_t owner, ContentReader& reader);

  // What put_changes() would put, estimated from a part of the pages, and how long it would look.
  struct Outlook {
    uint64_t changed_bytes = 0;
    double seconds = 0;
  };
  Result<Outlook> outlook(ContentReader& reader) const;

 private:
  struct Hash {
    uint64_t low = 0;
    uint64_t high = 0;
    bool operator==(const Hash&) const = default;
  };
  static constexpr uint64_t kPagesOfPiece = ContentReader::kPiece / kPageSize;
  using Piece = std::array<Hash, kPagesOfPiece>;  // Hash{}: nothing was sent, zeros are there

  static Hash hash(std::span<const std::byte> page);
  Hash known(uint64_t at) const;
  Ranges known_pages() const;
  void forget(const sys::Range& range);
  void note(uint64_t at, std::span<const std::byte> pages);
  Result<Ranges> find_differing(const Ranges& data, const ContentReader& reader) const;
  Result<Ranges> compare(sys::Range within, ContentReader& reader) const;

  std::map<uint64_t, Piece> pieces_;  // by offset / kPiece
};

}  // namespace martlet::engine
