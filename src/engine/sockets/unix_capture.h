// The capture half of Unix sockets.
#pragma once

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

Result<void> capture_unix(CaptureContext& context, const OpenFile& file, image::UnixSocket& out);

}  // namespace martlet::engine
