// Regular files, directories, devices without a state of their own, and whatever was opened with
// O_PATH: files that are opened again by their path.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& path_kind();

}  // namespace martlet::engine
