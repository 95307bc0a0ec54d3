// Capture of a whole frozen process, memory contents and files apart, and what little of it has no
// place of its own to be applied in.
#pragma once

#include "engine/context.h"
#include "engine/program.h"
#include "engine/tasks/frozen.h"
#include "image/memory.pb.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// Fills the process's image, which has a record for each thread, and the fields of its address
// space. Executes system calls inside the process; its registers are put back by thaw_process().
// `holder`: who has the address space, the process itself unless it shares another one's.
Result<void> capture_process(CaptureContext& context, FrozenProcess& frozen, FrozenProcess& holder,
                             image::Process& out, image::AddressSpace& space);

// Adds to a program of the process. While it has one thread only, the calls are quick.
void register_membarriers(Program& program, const image::Process& process);

// Notes working directories that were removed. They belong to the files of the group, so this comes
// before those are captured.
Result<void> note_removed_directories(CaptureContext& context, const FrozenProcess& frozen,
                                      image::Process& out);

}  // namespace martlet::engine
