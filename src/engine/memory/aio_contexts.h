// Contexts of asynchronous I/O (io_setup).
//
// What a process knows of a context is its ring: the ring's address is the context's id, and events
// that nobody has read yet lie in it. The place of the next event is the kernel's own note, so a
// new context is brought there by as many requests that do nothing. Requests in flight cannot be
// carried: those of disks are over in a moment, even while the group stands still.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/memory.pb.h"
#include "sys/procfs.h"

namespace martlet::engine {

bool is_aio_ring(const sys::Vma& vma);

// Whether a process of the group below `root` has a context, and whether its requests can be
// counted here (sys::AioReader), which is prepared. Costs a look at all mappings if somebody on
// this host has a context.
enum class AioUse { kNone, kReadable, kUnreadable };
AioUse find_aio_use(HostPid root);

// Waits until the processes have no requests in flight, for so long, and not for requests that may
// wait for ever (IOCB_CMD_POLL). Returns the processes that have some left, or may have.
std::vector<HostPid> await_aio_requests(const std::vector<FrozenProcess>& processes,
                                        Nanoseconds longest);

// Describes the contexts whose rings are among the space's mappings.
Result<image::AioContexts> capture_aio_contexts(HostPid living, const image::AddressSpace& space);

// Makes them, in a task that has mapped the space.
Result<void> restore_aio_contexts(Task& task, DescriptorChannel& channel,
                                  const image::AddressSpace& space,
                                  const image::AioContexts& wanted);

}  // namespace martlet::engine
