// Descriptors of shared memory objects: memfds and the files behind shared anonymous memory.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& memory_file_kind();

}  // namespace martlet::engine
