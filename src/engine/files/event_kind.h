// eventfd: a counter.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& event_kind();

}  // namespace martlet::engine
