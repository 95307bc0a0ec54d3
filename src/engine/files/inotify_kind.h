// inotify: the objects that are watched, under the numbers that the program knows them by.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& inotify_kind();

}  // namespace martlet::engine
