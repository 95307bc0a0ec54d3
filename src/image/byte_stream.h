// Where the bytes of a record stream go to and come from. A file, a TLS connection or a buffer is a
// ByteWriter or a ByteReader; make_sink and make_source put the record format on top.
#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "image/stream.h"

namespace martlet::image {

class ByteWriter {
 public:
  virtual ~ByteWriter() = default;
  // Writes all the pieces in their order. Errors: kNoSpace, kPeerLost, kTimeout, kCancelled,
  // kSystem.
  virtual Result<void> write(std::span<const std::span<const std::byte>> pieces) = 0;
  // Waits until all that was written has left this process. Only a writer that returns earlier has
  // something to do.
  virtual Result<void> flush() { return {}; }
};

class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // Reads at least one byte and at most the buffer; 0 is the end of the stream.
  virtual Result<size_t> read(std::span<std::byte> buffer) = 0;
};

// Both borrow their argument, which must outlive them. The sink gathers small records and passes
// large bodies on without copying them.
std::unique_ptr<Sink> make_sink(ByteWriter& writer);
std::unique_ptr<Source> make_source(ByteReader& reader);

}  // namespace martlet::image
