// Creation of tasks under restore: the stub, forks of it, and threads.
#pragma once

#include <span>

#include "base/fd.h"
#include "engine/arena.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// What every process keeps free for the arena and a vDSO that steps aside.
inline constexpr uint64_t kWorkAreaSize = 2u << 20;
inline constexpr size_t kRestoreArenaDataSize = 1u << 20;

// The stub's executable (blob/stub.c).
std::span<const std::byte> stub_image();

struct Stub {
  HostPid pid;
  Fd control;  // this side of its control socket
};

// Starts a stub as a child of this process with the given PID (kAlreadyExists if it is taken), in a
// session of its own.
Result<Stub> start_stub(pid_t pid);

// Hands the arena to the stub, stops it and empties its descriptor table but for the control
// socket, which moves to a number above `highest_fd`. If this process dies from now on, so does the
// stub.
Result<Task> take_stub(const Stub& stub, NsPid pid, const Arena& arena, DescriptorChannel& channel,
                       int highest_fd);

// A fork of `creator` with the PIDs and exit signal that `process` has. It is the creator's child
// or, if `process` says so, a child of the same parent (CLONE_PARENT). One that is the first of a
// PID namespace makes it.
Result<Task> fork_process(Task& creator, const image::Process& process);
// A thread of the creator's process, with a descriptor table and directories of its own if `thread`
// has them.
Result<Task> create_thread(Task& creator, const image::Thread& thread);
// The same for one that has no right to choose: it gets the number that comes next, probably after
// `last`. `root` is in the group's PID namespace.
Result<Task> create_thread_in_turn(Task& creator, const image::Thread& thread, NsPid last,
                                   HostPid root);

// A child of `parent` that only holds a PID and makes calls: it shares the parent's memory.
Result<Task> create_stand_in(Task& parent, NsPid pid);

// The child of `parent` ends and waits to be reaped.
Result<void> become_zombie(Task& child, Task& parent, const image::Process& process);

// The main thread ends, and others of its process do not. `status` is as wait(2) encodes it.
Result<void> end_leader(Task& leader, int status);

// `parent` takes note of the end of its child, and nothing of it stays pending.
Result<void> reap_child(Task& parent, const PidNumbers& child, int exit_signal);

// Unmaps the arena from the process; no program can run in it any more.
Result<void> drop_arena(Task& leader);

}  // namespace martlet::engine
