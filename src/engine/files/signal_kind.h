// signalfd: a set of signals to be read. The signals themselves are pending at the tasks.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& signal_kind();

}  // namespace martlet::engine
