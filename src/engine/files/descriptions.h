// What the file kinds have in common: reopening a description's file and setting its status flags.
#pragma once

#include <fcntl.h>

#include "base/fd.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/files/file_kind.h"

namespace martlet::engine {

// The flags that F_SETFL can change.
inline constexpr int kStatusFlags = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;

// A new description of the file that `fd` refers to, also when the file has no name any more or
// `fd` was opened with O_PATH.
Result<Fd> reopen(int fd, int flags);

// Gives the description the status flags of `flags`, and no others.
Result<void> set_status_flags(int fd, int flags);

// Whether two descriptions have the same file behind them.
bool same_file(const struct stat& a, const struct stat& b);

// Whether `file` is the first one of the group with its file behind it: the one that carries what
// must be in the image once.
bool is_first_of_its_file(CaptureContext& context, const OpenFile& file);

}  // namespace martlet::engine
