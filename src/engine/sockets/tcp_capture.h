// The capture half of TCP sockets.
#pragma once

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

// Fills `out` and leaves a connection in repair mode until the group goes on here.
Result<void> capture_tcp(CaptureContext& context, const OpenFile& file, image::TcpSocket& out);

}  // namespace martlet::engine
