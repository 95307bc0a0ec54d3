// What an agent and the keeper of a container's missing pages say to each other, over a Unix stream
// socket: frames, some of which are followed by bytes or come with a descriptor. Both are of one
// version and one machine, so a frame is a plain struct.
#pragma once

#include <cstdint>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::migrate {

enum class FrameKind : uint32_t {
  // To the keeper.
  kAdd = 1,   // a process: its userfaultfd, and its missing ranges as bytes
  kAllAdded,  // from here on, nothing missing means complete
  kPages,     // with the pages as bytes
  kZeroPages,
  kReport,  // asks for kMissing ... kEndOfReport, then kWanted for all that is waited for

  // From the keeper.
  kDescriptor,  // a userfaultfd that it holds; `address` numbers it
  kDropDescriptor,
  kWanted,
  kMissing,  // ranges of one process as bytes
  kEndOfReport,
};

struct Frame {
  FrameKind kind;
  uint32_t process = 0;
  uint64_t address = 0;
  uint64_t length = 0;  // of the run of pages, or of the bytes that follow
};
static_assert(sizeof(Frame) == 24);

inline constexpr uint64_t kMaxFrameBytes = 64u << 20;

Result<void> send_frame(const Fd& socket, const Frame& frame, std::span<const std::byte> bytes = {},
                        int descriptor = -1);
// kPeerLost: the other side has closed, or ended.
Result<Frame> receive_frame(const Fd& socket, Fd& descriptor);
Result<void> receive_bytes(const Fd& socket, std::span<std::byte> bytes);

}  // namespace martlet::migrate
