// What a record source takes its bytes from, piece by piece.
#pragma once

#include <memory>
#include <span>

#include "image/byte_stream.h"

namespace martlet::image {

class StreamInput {
 public:
  virtual ~StreamInput() = default;
  // The next `length` bytes, or fewer at the end of the stream; valid until the next call.
  virtual Result<std::span<const std::byte>> take(size_t length) = 0;
};

// Reads through a buffer of its own, which grows to the largest piece taken.
std::unique_ptr<StreamInput> make_buffered_input(ByteReader& reader);

std::unique_ptr<Source> make_source(std::unique_ptr<StreamInput> input);

}  // namespace martlet::image
