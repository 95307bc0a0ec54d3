// Makes the two ends of a Unix connection, with the names that each had.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/sockets/unix_caller.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

struct OwnListener {
  int fd = -1;
  const image::UnixSocket* record = nullptr;  // null: the image has none
};

// Gives the group's own listener with this (abstract) name in the network of the connection, which
// must exist before the connections that were made through it.
using ListenerOfName = std::function<Result<OwnListener>(const std::string& name)>;

// A stream or packet connection. An accepted socket shares the name of its listener, so names come
// about as they did once: through a listener of that name, the group's or one made for it. Both
// ends are of one network, the client's.
Result<UnixEnds> connect_unix(ApplyContext& context, UnixCaller& caller, uint32_t network,
                              const image::UnixSocket& first, const image::UnixSocket& second,
                              const ListenerOfName& listener_of);

}  // namespace martlet::engine
