// A namespace behind a descriptor: one of those that the group's root lives in.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& namespace_kind();

}  // namespace martlet::engine
