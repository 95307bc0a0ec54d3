// Files without a name: deleted while open, or made with O_TMPFILE.
//
// Their content is in the image, as FileContent records before the File records. A restore makes a
// file, removes its name and fills it; descriptions of one such file share it by its device and
// inode in the image.
#pragma once

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "image/files.pb.h"
#include "image/stream.h"

namespace martlet::engine {

// Puts the content of the file behind `fd` into the sink.
Result<void> put_content(CaptureContext& context, const image::RegularFile& file, int fd);

// Handles one kFileContent record while restoring.
Result<void> apply_content(ApplyContext& context, const image::Record& record);

// Adds a file without a name that no descriptor of the group leads to, unless it is there already;
// returns its id. `link` (of /proc/PID) leads to it, and `path` is how the kernel calls it.
Result<uint32_t> add_unlinked(CaptureContext& context, HostPid holder, const std::string& link,
                              const std::string& path, int flags);

// A descriptor of the restored file, made at the first call: O_PATH, or for a file made with
// O_TMPFILE the description that made it.
Result<int> unlinked_file(ApplyContext& context, const image::RegularFile& file);

}  // namespace martlet::engine
