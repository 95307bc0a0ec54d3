// A file that was opened by its path: how the image names it and how it is found again.
//
// The path of a description is only believed if it leads, inside the group's root, to the very file
// that the description has open.
#pragma once

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "image/files.pb.h"

namespace martlet::engine {

// Names the file. The content of a file without a name goes into the sink.
// Errors: kUnsupported if the file has a name, but none that the group could open it by.
Result<image::RegularFile> capture_path_file(CaptureContext& context, const OpenFile& file);

// Opens the file with these flags (access mode, status flags, O_PATH, O_DIRECTORY).
// Errors: kNotFound; kUnsupported if another type of file is there.
Result<Fd> open_path_file(ApplyContext& context, const image::RegularFile& file, int flags);

}  // namespace martlet::engine
