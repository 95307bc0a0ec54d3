// inotify: the objects that are watched, under the numbers that the program knows them by.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& inotify_kind();

// Whether a descriptor's link in /proc is that of an inotify.
bool is_inotify_link(std::string_view link);

}  // namespace martlet::engine
