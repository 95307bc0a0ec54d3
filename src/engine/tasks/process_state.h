// Capture of a whole frozen process, memory contents and files apart.
#pragma once

#include "engine/context.h"
#include "engine/tasks/frozen.h"
#include "image/memory.pb.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// Fills the process's image and the fields of its address space. Executes system calls inside the
// process; its registers are put back by thaw_process().
Result<void> capture_process(CaptureContext& context, FrozenProcess& frozen, image::Process& out,
                             image::AddressSpace& space);

}  // namespace martlet::engine
