// inotify: the objects that are watched, under the numbers that the program knows them by.
#pragma once

#include <sys/types.h>

#include <set>

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& inotify_kind();

// Whether a descriptor's link in /proc is that of an inotify.
bool is_inotify_link(std::string_view link);

// The file systems of which a process of the group is told when something in them is read.
std::set<dev_t> devices_watched_for_reads(HostPid root);

}  // namespace martlet::engine
