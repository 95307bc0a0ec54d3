#include "engine/sockets/unix_connection.h"

#include <sys/socket.h>

#include <algorithm>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_name.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

Result<Fd> accept_from(int listener, const std::string& name) {
  Fd accepted(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!accepted.valid()) return fail_errno("accept on " + sys::describe_address(name));
  return accepted;
}

struct ClientAndServer {
  Fd client;
  Fd server;
};

bool same_caller(const image::UnixSocket& a, const image::UnixSocket& b) {
  return a.credentials_pid() == b.credentials_pid() && a.credentials_uid() == b.credentials_uid() &&
         a.credentials_gid() == b.credentials_gid();
}

// The client remembers who called listen() at that time, which another process may have done since.
Result<void> connect_through_own(UnixCaller& caller, const OwnListener& own, int client_fd,
                                 const image::UnixSocket& client, const image::UnixSocket& server) {
  auto backlog = static_cast<int>(own.record->backlog());
  bool same = same_caller(client, *own.record);
  if (!same) TRY(caller.listen(client, own.fd, backlog));
  TRY(caller.connect(server, client_fd, UnixTarget{server.name(), Fd()}));
  return same ? Result<void>() : caller.listen(*own.record, own.fd, backlog);
}

Result<ClientAndServer> connect_through_listener(ApplyContext& context, UnixCaller& caller,
                                                 uint32_t network, const image::UnixSocket& client,
                                                 const image::UnixSocket& server,
                                                 const ListenerOfName& listener_of) {
  SocketType socket{AF_UNIX, static_cast<int>(client.type()), 0};
  ClientAndServer ends;
  ends.client = TRY(open_group_socket(context, network, socket));
  Fd temporary = TRY(open_group_socket(context, network, socket));
  OwnListener own;
  if (is_abstract(server.name())) own = TRY(listener_of(server.name()));
  auto root = TRY(EmptyRoot::make({client.name(), server.name()}));
  UnixTarget target;
  TRY(root.run([&]() -> Result<void> {
    if (!client.name().empty()) TRY(sys::bind_address(ends.client.get(), client.name()));
    if (own.record != nullptr) return {};
    TRY(sys::bind_address(temporary.get(), server.name()));
    target = TRY(UnixTarget::find(server.name()));
    return {};
  }));
  if (own.record != nullptr) {
    TRY(connect_through_own(caller, own, ends.client.get(), client, server));
  } else {
    TRY(caller.listen(client, temporary.get(), 1));
    TRY(caller.connect(server, ends.client.get(), target));
  }
  int listener = own.record != nullptr ? own.fd : temporary.get();
  ends.server = TRY(accept_from(listener, server.name()));
  return ends;
}

bool is_listener_name(ApplyContext& context, uint32_t network, const std::string& name) {
  return std::ranges::any_of(context.files(), [&](const auto& entry) {
    const image::File& file = entry.second;
    return file.has_unix_socket() && file.unix_socket().listening() &&
           file.unix_socket().name() == name && (!is_abstract(name) || file.network() == network);
  });
}

// If both ends have a name, one of them is its listener's, which may be gone.
bool is_server(ApplyContext& context, uint32_t network, const std::string& name,
               const std::string& other_name) {
  return !name.empty() && (other_name.empty() || is_listener_name(context, network, name));
}

}  // namespace

Result<UnixEnds> connect_unix(ApplyContext& context, UnixCaller& caller, uint32_t network,
                              const image::UnixSocket& first, const image::UnixSocket& second,
                              const ListenerOfName& listener_of) {
  if (first.name().empty() && second.name().empty()) return caller.make_pair(first, network);
  bool first_is_server = is_server(context, network, first.name(), second.name());
  const image::UnixSocket& server = first_is_server ? first : second;
  const image::UnixSocket& client = first_is_server ? second : first;
  auto ends = TRY(connect_through_listener(context, caller, network, client, server, listener_of));
  if (first_is_server) return UnixEnds{std::move(ends.server), std::move(ends.client)};
  return UnixEnds{std::move(ends.client), std::move(ends.server)};
}

}  // namespace martlet::engine
