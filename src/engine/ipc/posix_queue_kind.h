// Open POSIX message queues; the queues themselves are carried by posix_queues.h.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& posix_queue_kind();

}  // namespace martlet::engine
