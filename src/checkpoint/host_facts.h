// Facts about the host that a stream must fit to.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "image/group.pb.h"
#include "sys/time_namespace.h"

namespace martlet::checkpoint {

// The extended states the processor and kernel keep (XCR0); 0 if there is no XSAVE.
uint64_t xsave_features();

// `clocks` is what the group's clocks show.
Result<image::Header> make_header(bool container, const sys::ClockReading& clocks,
                                  uint32_t page_lanes);

// Whether this host can restore such a stream; kUnsupported or kBadImage if not.
Result<void> check_header(const image::Header& header);

}  // namespace martlet::checkpoint
