// What waits in the queues and backlogs of Unix sockets, with the descriptors in flight there.
// Those are files of the group, which may be in no process at all and may be sockets with queues
// themselves. Engine's thread only.
#pragma once

#include <functional>

#include "base/fd.h"
#include "engine/context.h"

namespace martlet::engine {

// Makes a file of the group of a description and gives its id; one that is known stays the same.
using AddFile = std::function<Result<uint32_t>(Fd received)>;

// Fills CaptureContext::unix_queues() and unix_backlogs() for every socket of the group, also those
// that `add` brings.
Result<void> read_unix_queues(CaptureContext& context, const AddFile& add);

}  // namespace martlet::engine
