// Makes the two ends of a Unix connection, with the names that each had.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "engine/context.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

struct UnixEnds {
  Fd first;
  Fd second;
};

// Gives the group's own listener with this (abstract) name, which must exist before the connections
// that were made through it; -1 if the image has none.
using ListenerOfName = std::function<Result<int>(const std::string& name)>;

// A stream or packet connection. An accepted socket shares the name of its listener, so names come
// about as they did once: through a listener of that name, the group's or one made for it.
Result<UnixEnds> connect_unix(ApplyContext& context, const image::UnixSocket& first,
                              const image::UnixSocket& second, const ListenerOfName& listener_of);

// Two nameless ends connected to each other, of the type and with the credentials of `socket`.
Result<UnixEnds> make_unix_pair(ApplyContext& context, const image::UnixSocket& socket);

}  // namespace martlet::engine
