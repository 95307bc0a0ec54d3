// The way back for a thread that performs a single system call before there is an arena.
//
// Such a call is made at a `syscall` instruction of the program's own C library that a `ret`
// follows. Behind it lies the library's return from signals, and below the part of the stack that
// the thread uses a signal frame with its own registers: if the tracer dies meanwhile, the thread
// returns through both to what it did. Nothing that a program may count on lies there; a signal
// would be delivered to the same place.
//
// If the thread is on another stack (the main thread has ended, or who made the memory has), the
// lowest part of the main stack is borrowed, where that holds nothing.
//
// There is none for a program without the usual C library.
#pragma once

#include <optional>

#include "base/ids.h"
#include "engine/tasks/frozen.h"

namespace martlet::engine {

struct WayBack {
  TargetAddr syscall_instruction;
  TargetAddr stack;     // the stack pointer for the call
  size_t borrowed = 0;  // bytes from there on that are zeros otherwise
};

// Prepares it; the thread is stopped and has its own state. Empty if there is none.
std::optional<WayBack> prepare_way_back(FrozenProcess& process, FrozenThread& thread);

// After the last call.
void return_borrowed(const FrozenProcess& process, const WayBack& way_back);

// Whether the thread, which nobody has traced before, is about to return through one, or to make
// the call before that.
bool is_on_way_back(HostPid pid, const user_regs_struct& registers);

}  // namespace martlet::engine
