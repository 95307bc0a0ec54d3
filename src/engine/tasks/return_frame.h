// The way back for a thread whose tracer dies while the thread performs system calls for it.
//
// The interpreter (blob/interpreter.S) ends with rt_sigreturn. The frame it returns through holds
// the registers, the signal mask and the extended state with which the thread goes on, so that it
// comes back to what it did even if nobody is left to put its registers back. Only the arena's
// pages stay behind then.
#pragma once

#include <sys/user.h>

#include <cstddef>
#include <span>
#include <vector>

#include "base/ids.h"

namespace martlet::engine {

// Space that a frame may take.
inline constexpr size_t kReturnFrameSize = 20u << 10;

// How many bytes make_return_frame() makes.
size_t return_frame_size(std::span<const std::byte> extended_state);

// A frame for the address `place` (64-byte aligned): the bytes from there on. rt_sigreturn expects
// the stack pointer to be `place`. `extended_state` is the NT_X86_XSTATE register set.
std::vector<std::byte> make_return_frame(TargetAddr place, const user_regs_struct& registers,
                                         uint64_t signal_mask,
                                         std::span<const std::byte> extended_state);

}  // namespace martlet::engine
