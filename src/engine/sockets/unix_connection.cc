#include "engine/sockets/unix_connection.h"

#include <sys/socket.h>

#include <algorithm>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_name.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

Result<void> listen_as(int fd, const std::string& name) {
  TRY(sys::bind_address(fd, name));
  if (::listen(fd, 1) != 0) return fail_errno("listen on " + sys::describe_address(name));
  return {};
}

Result<Fd> accept_from(int listener, const std::string& name) {
  Fd accepted(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!accepted.valid()) return fail_errno("accept on " + sys::describe_address(name));
  return accepted;
}

struct ClientAndServer {
  Fd client;
  Fd server;
};

Result<ClientAndServer> connect_through_listener(ApplyContext& context,
                                                 const image::UnixSocket& client,
                                                 const image::UnixSocket& server,
                                                 const ListenerOfName& listener_of) {
  SocketType socket{AF_UNIX, static_cast<int>(client.type()), 0};
  ClientAndServer ends;
  ends.client = TRY(open_group_socket(context, socket));
  Fd temporary = TRY(open_group_socket(context, socket));
  int own = is_abstract(server.name()) ? TRY(listener_of(server.name())) : -1;
  int listener = own >= 0 ? own : temporary.get();
  auto listen = [&] { return listen_as(listener, server.name()); };
  auto connect = [&] { return sys::connect_address(ends.client.get(), server.name()); };
  TRY(run_in_empty_root({client.name(), server.name()}, [&]() -> Result<void> {
    if (own < 0) TRY(run_with_credentials(client, listen));
    if (!client.name().empty()) TRY(sys::bind_address(ends.client.get(), client.name()));
    TRY(run_with_credentials(server, connect));
    ends.server = TRY(accept_from(listener, server.name()));
    return {};
  }));
  return ends;
}

bool is_listener_name(ApplyContext& context, const std::string& name) {
  return std::ranges::any_of(context.files(), [&](const auto& entry) {
    const image::File& file = entry.second;
    return file.has_unix_socket() && file.unix_socket().listening() &&
           file.unix_socket().name() == name;
  });
}

// If both ends have a name, one of them is its listener's, which may be gone.
bool is_server(ApplyContext& context, const std::string& name, const std::string& other_name) {
  return !name.empty() && (other_name.empty() || is_listener_name(context, name));
}

}  // namespace

Result<UnixEnds> make_unix_pair(ApplyContext& context, const image::UnixSocket& socket) {
  int type = static_cast<int>(socket.type()) | SOCK_CLOEXEC;
  int fds[2] = {-1, -1};
  auto make = [&]() -> Result<void> {
    if (::socketpair(AF_UNIX, type, 0, fds) != 0) return fail_errno("create a pair of sockets");
    return {};
  };
  TRY(run_in_namespace(context.root(), "net", [&] { return run_with_credentials(socket, make); }));
  return UnixEnds{Fd(fds[0]), Fd(fds[1])};
}

Result<UnixEnds> connect_unix(ApplyContext& context, const image::UnixSocket& first,
                              const image::UnixSocket& second, const ListenerOfName& listener_of) {
  if (first.name().empty() && second.name().empty()) return make_unix_pair(context, first);
  bool first_is_server = is_server(context, first.name(), second.name());
  const image::UnixSocket& server = first_is_server ? first : second;
  const image::UnixSocket& client = first_is_server ? second : first;
  auto ends = TRY(connect_through_listener(context, client, server, listener_of));
  if (first_is_server) return UnixEnds{std::move(ends.server), std::move(ends.client)};
  return UnixEnds{std::move(ends.client), std::move(ends.server)};
}

}  // namespace martlet::engine
