// What carries the state of a container to the destination: one connection, or several.
#pragma once

#include "image/byte_stream.h"

namespace martlet::migrate {

class DrainableWriter : public image::ByteWriter {
 public:
  // Waits until the peer's host has all bytes that were written.
  virtual Result<void> drain() = 0;
};

}  // namespace martlet::migrate
