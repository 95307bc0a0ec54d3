// pidfd: a process or thread of the group, living, ended or reaped.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& pid_kind();

}  // namespace martlet::engine
