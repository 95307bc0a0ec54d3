// Which versions of the format can be read; docs/image-format.md tells how they differ.
#pragma once

#include "image/stream.h"

namespace martlet::image {

inline constexpr uint32_t kOldestFormatVersion = 2;

constexpr bool is_readable_version(uint32_t version) {
  return version >= kOldestFormatVersion && version <= kFormatVersion;
}

}  // namespace martlet::image
