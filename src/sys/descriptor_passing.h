// Sending descriptors to another process over a Unix socket (SCM_RIGHTS).
#pragma once

#include <cstddef>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

// As many as the kernel takes with one message.
inline constexpr size_t kMaxPassedDescriptors = 253;

// Sends the payload (at least one byte) with the descriptors attached to it, as one message.
Result<void> send_descriptors(const Fd& socket, std::span<const std::byte> payload,
                              std::span<const int> descriptors);

// Fills the payload; a descriptor that came with its first byte is in `descriptor`, if any did.
// kPeerLost: the other side has closed.
Result<void> receive_descriptor(const Fd& socket, std::span<std::byte> payload, Fd& descriptor);

}  // namespace martlet::sys
