#include "engine/sockets/unix_apply.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_connection.h"
#include "engine/sockets/unix_name.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

bool is_sound_name(const std::string& name) {
  return name.empty() || (sys::family_of(name) == AF_UNIX && name.size() <= sizeof(sockaddr_un));
}

Result<void> check(const image::UnixSocket& socket) {
  if (socket.type() != SOCK_STREAM && socket.type() != SOCK_DGRAM &&
      socket.type() != SOCK_SEQPACKET)
    return fail(Code::kBadImage, "type of a Unix socket");
  if (!is_sound_name(socket.name()) || !is_sound_name(socket.peer_name()))
    return fail(Code::kBadImage, "name of a Unix socket");
  if (socket.has_outside() &&
      (socket.connected() || socket.listening() || socket.outside().name().empty() ||
       !is_sound_name(socket.outside().name())))
    return fail(Code::kBadImage, "Unix connection to a process outside");
  for (const image::UnixSocket& waiting : socket.waiting())
    if (!socket.listening() || !is_sound_name(waiting.peer_name()))
      return fail(Code::kBadImage, "Unix connection that waits to be accepted");
  return {};
}

// The File record of a socket of the image, or null.
const image::File* find_record(ApplyContext& context,
                               const std::function<bool(const image::UnixSocket&)>& matches) {
  auto found = std::ranges::find_if(context.files(), [&](const auto& entry) {
    return entry.second.has_unix_socket() && matches(entry.second.unix_socket());
  });
  return found == context.files().end() ? nullptr : &found->second;
}

// The same of one that can be reached by the name from a socket of that network: each network has
// abstract names of its own.
const image::File* find_named(ApplyContext& context, uint32_t network, const std::string& name,
                              const std::function<bool(const image::UnixSocket&)>& matches) {
  auto found = std::ranges::find_if(context.files(), [&](const auto& entry) {
    const image::File& file = entry.second;
    return file.has_unix_socket() && file.unix_socket().name() == name &&
           (!is_abstract(name) || file.network() == network) && matches(file.unix_socket());
  });
  return found == context.files().end() ? nullptr : &found->second;
}

const image::File* record_of_peer(ApplyContext& context, const image::UnixSocket& socket) {
  if (socket.peer_inode() == 0) return nullptr;
  return find_record(context, [&](const image::UnixSocket& other) {
    return other.inode() == socket.peer_inode() && other.type() == socket.type();
  });
}

bool is_peer_closed(const image::UnixSocket& socket) {
  return socket.connected() && socket.peer_inode() == 0 && !socket.waits();
}

// Two datagram sockets that are each other's peer can be made together; one that is connected to a
// name only is not known to the other end.
bool is_half_of_pair(ApplyContext& context, const image::UnixSocket& socket) {
  if (!socket.connected() || socket.waits()) return false;
  if (socket.type() != SOCK_DGRAM || is_peer_closed(socket)) return true;
  const image::File* peer = record_of_peer(context, socket);
  return peer != nullptr && peer->unix_socket().connected() &&
         peer->unix_socket().peer_inode() == socket.inode();
}

std::string made_key(uint32_t inode) {
  return "unix socket " + std::to_string(inode);
}

// The other end of a connection whose other end is closed: it fills the queue and goes.
std::string closed_peer_key(const image::UnixSocket& socket) {
  return "closed peer of unix socket " + std::to_string(socket.inode());
}

std::string waiting_key(const image::UnixSocket& listener, int number) {
  return "client " + std::to_string(number) + " of unix socket " + std::to_string(listener.inode());
}

Result<void> bind_name(ApplyContext& context, int fd, const image::UnixSocket& socket) {
  const std::string& name = socket.name();
  if (is_abstract(name)) return sys::bind_address(fd, name);
  if (!socket.has_file())
    return run_in_empty_root({name}, [&] { return sys::bind_address(fd, name); });
  return run_in_root_of(context.mounts(), socket, [&] { return bind_with_file(fd, socket); });
}

int backlog_of(const image::UnixSocket& listener) {
  return static_cast<int>(std::min<uint32_t>(listener.backlog(), INT32_MAX));
}

Result<Fd> make_unconnected(ApplyContext& context, UnixCaller& caller, const image::File& file) {
  const image::UnixSocket& socket = file.unix_socket();
  Fd fd = TRY(
      open_group_socket(context, file.network(), {AF_UNIX, static_cast<int>(socket.type()), 0}));
  if (!socket.name().empty()) TRY(bind_name(context, fd.get(), socket));
  if (socket.listening()) TRY(caller.listen(socket, fd.get(), backlog_of(socket)));
  return fd;
}

Result<OwnListener> listener_of(ApplyContext& context, UnixCaller& caller, uint32_t network,
                                const std::string& name) {
  const image::File* listener = find_named(
      context, network, name, [](const image::UnixSocket& socket) { return socket.listening(); });
  if (listener == nullptr) return OwnListener{};
  const image::UnixSocket& socket = listener->unix_socket();
  if (int made = context.description(listener->id()); made >= 0) return OwnListener{made, &socket};
  std::string key = made_key(socket.inode());
  auto ready = context.take_stashed(key);
  if (!ready) ready = TRY(make_unconnected(context, caller, *listener));
  int fd = ready->get();
  context.stash(key, std::move(*ready));
  return OwnListener{fd, &socket};
}

image::UnixSocket closed_peer(const image::UnixSocket& socket) {
  image::UnixSocket peer;
  peer.set_type(socket.type());
  peer.set_name(socket.peer_name());
  return peer;
}

Result<UnixEnds> make_ends(ApplyContext& context, UnixCaller& caller, const image::File& file,
                           const image::UnixSocket& peer) {
  const image::UnixSocket& socket = file.unix_socket();
  if (socket.type() != SOCK_DGRAM)
    return connect_unix(context, caller, file.network(), socket, peer,
                        [&](const std::string& name) {
                          return listener_of(context, caller, file.network(), name);
                        });
  UnixEnds ends = TRY(caller.make_pair(socket, file.network()));
  if (!socket.name().empty()) TRY(bind_name(context, ends.first.get(), socket));
  if (!peer.name().empty()) TRY(bind_name(context, ends.second.get(), peer));
  return ends;
}

Result<Fd> make_connected(ApplyContext& context, UnixCaller& caller, const image::File& file) {
  const image::UnixSocket& socket = file.unix_socket();
  const image::File* record = record_of_peer(context, socket);
  if (record == nullptr && !is_peer_closed(socket))
    return fail(Code::kBadImage, "Unix socket without its peer");
  image::UnixSocket peer = record != nullptr ? record->unix_socket() : closed_peer(socket);
  UnixEnds ends = TRY(make_ends(context, caller, file, peer));
  context.stash(record != nullptr ? made_key(peer.inode()) : closed_peer_key(socket),
                std::move(ends.second));
  return std::move(ends.first);
}

// Of a socket that is there, under its name.
Result<UnixTarget> target_of(ApplyContext& context, const image::UnixSocket& listener) {
  if (is_abstract(listener.name())) return UnixTarget{listener.name(), Fd()};
  UnixTarget target;
  TRY(run_in_root_of(context.mounts(), listener, [&]() -> Result<void> {
    target = TRY(UnixTarget::at(listener.name()));
    return {};
  }));
  return target;
}

// Where there is no room it fails, for nobody makes room.
Result<void> connect_at_once(UnixCaller& caller, const image::UnixSocket& as, int fd,
                             const UnixTarget& target) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return fail_errno("flags of a socket");
  TRY(caller.connect(as, fd, target));
  if (::fcntl(fd, F_SETFL, flags) != 0) return fail_errno("flags of a socket");
  return {};
}

Result<void> connect_outside(ApplyContext& context, UnixCaller& caller,
                             const image::UnixSocket& outside, int fd) {
  auto connect = [&]() -> Result<void> {
    return connect_at_once(caller, outside, fd, TRY(target_of(context, outside)));
  };
  return in_context(connect(), "connect anew to " + sys::describe_address(outside.name()) +
                                   " outside of the group");
}

Result<Fd> make_socket(ApplyContext& context, UnixCaller& caller, const image::File& file) {
  const image::UnixSocket& socket = file.unix_socket();
  if (auto made = context.take_stashed(made_key(socket.inode()))) return std::move(*made);
  if (is_half_of_pair(context, socket)) return make_connected(context, caller, file);
  Fd fd = TRY(make_unconnected(context, caller, file));
  if (socket.has_outside()) TRY(connect_outside(context, caller, socket.outside(), fd.get()));
  return fd;
}

// The control part of a message.
class Control {
 public:
  template <typename Value>
  void add(int type, std::span<const Value> values) {
    cmsghdr header{};
    header.cmsg_level = SOL_SOCKET;
    header.cmsg_type = type;
    header.cmsg_len = CMSG_LEN(values.size_bytes());
    size_t at = bytes_.size();
    bytes_.resize(at + CMSG_SPACE(values.size_bytes()));
    std::memcpy(bytes_.data() + at, &header, sizeof header);
    std::memcpy(bytes_.data() + at + CMSG_LEN(0), values.data(), values.size_bytes());
  }
  std::vector<char>& bytes() { return bytes_; }

 private:
  std::vector<char> bytes_;
};

// A sender that has ended is replaced by this process, which the group does not see.
ucred credentials_of(ApplyContext& context, const image::UnixMessage& message) {
  auto sender = context.task(NsPid(message.credentials_pid()));
  return {sender ? sender->value : ::getpid(), message.credentials_uid(),
          message.credentials_gid()};
}

Result<Control> control_of(ApplyContext& context, const image::UnixMessage& message) {
  Control control;
  std::vector<int> descriptors;
  for (uint32_t id : message.descriptors()) {
    descriptors.push_back(context.description(id));
    if (descriptors.back() < 0)
      return fail(Code::kBadImage, "descriptor in flight without a File record");
  }
  if (!descriptors.empty()) control.add(SCM_RIGHTS, std::span<const int>(descriptors));
  if (message.has_credentials()) {
    ucred sender = credentials_of(context, message);
    control.add(SCM_CREDENTIALS, std::span<const ucred>(&sender, 1));
  }
  return control;
}

Result<void> send_message(ApplyContext& context, int sender, const image::UnixMessage& message,
                          const std::string& receiver) {
  Control control = TRY(control_of(context, message));
  iovec part{const_cast<char*>(message.data().data()), message.data().size()};
  msghdr header{};
  if (!receiver.empty()) header.msg_name = const_cast<char*>(receiver.data());
  header.msg_namelen = static_cast<socklen_t>(receiver.size());
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes().data();
  header.msg_controllen = control.bytes().size();
  ssize_t put = ::sendmsg(sender, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (put < 0) return fail_errno("fill the queue of a Unix socket");
  if (static_cast<size_t>(put) != message.data().size())
    return fail(Code::kSystem, "queue of a Unix socket could not be filled");
  return {};
}

Result<void> fill_from_peer(ApplyContext& context, int peer, const image::UnixSocket& socket) {
  size_t bytes = 0;
  for (const image::UnixMessage& message : socket.queue()) bytes += message.data().size();
  TRY(sys::enlarge_send_buffer(peer, bytes));
  for (const image::UnixMessage& message : socket.queue())
    TRY(send_message(context, peer, message, ""));
  return {};
}

Result<Fd> make_closed_client(ApplyContext& context, const image::File& listener,
                              const std::string& name) {
  Fd client = TRY(open_group_socket(context, listener.network(),
                                    {AF_UNIX, static_cast<int>(listener.unix_socket().type()), 0}));
  if (!name.empty())
    TRY(run_in_empty_root({name}, [&] { return sys::bind_address(client.get(), name); }));
  return client;
}

// Null: it has closed its end.
Result<const image::File*> record_of_client(ApplyContext& context,
                                            const image::UnixSocket& waiting) {
  if (waiting.peer_inode() == 0) return nullptr;
  const image::File* record = find_record(context, [&](const image::UnixSocket& socket) {
    return socket.waits() && socket.inode() == waiting.peer_inode();
  });
  if (record == nullptr) return fail(Code::kBadImage, "waiting Unix connection without a client");
  return record;
}

// Each client remembers who called listen() when it connected, each waiting end who has connected;
// and that inherits the listener's options. One that has closed its end is made for what it sent.
Result<void> connect_waiting(ApplyContext& context, UnixCaller& caller, const image::File& file) {
  const image::UnixSocket& listener = file.unix_socket();
  const int fd = context.description(file.id());
  const UnixTarget target = TRY(target_of(context, listener));
  TRY(apply_options(context, fd, listener.common(), sys::OptionPhase::kLast));
  for (int i = 0; i < listener.waiting_size(); ++i) {
    const image::UnixSocket& waiting = listener.waiting(i);
    const image::File* record = TRY(record_of_client(context, waiting));
    TRY(caller.listen(record != nullptr ? record->unix_socket() : listener, fd, SOMAXCONN));
    Fd closed;
    if (record == nullptr) closed = TRY(make_closed_client(context, file, waiting.peer_name()));
    const int client = record != nullptr ? context.description(record->id()) : closed.get();
    TRY(connect_at_once(caller, waiting, client, target));
    if (record == nullptr) context.stash(waiting_key(listener, i), std::move(closed));
  }
  return caller.listen(listener, fd, backlog_of(listener));
}

// A client that has closed is closed with that.
Result<void> fill_waiting(ApplyContext& context, const image::UnixSocket& listener) {
  for (int i = 0; i < listener.waiting_size(); ++i) {
    const image::File* record = TRY(record_of_client(context, listener.waiting(i)));
    auto closed = context.take_stashed(waiting_key(listener, i));
    if (record == nullptr && !closed)
      return fail(Code::kBadImage, "Unix listener with the inode of another");
    const int client = closed ? closed->get() : context.description(record->id());
    TRY(fill_from_peer(context, client, listener.waiting(i)));
  }
  return {};
}

// A socket with the name of a sender that is not in the image any more.
Result<Fd> make_sender(ApplyContext& context, uint32_t network, const std::string& name) {
  Fd fd = TRY(open_group_socket(context, network, {AF_UNIX, SOCK_DGRAM, 0}));
  if (!name.empty())
    TRY(run_in_empty_root({name}, [&] { return sys::bind_address(fd.get(), name); }));
  return fd;
}

Result<void> send_as(ApplyContext& context, const image::UnixMessage& message,
                     const image::File& file) {
  const image::UnixSocket& receiver = file.unix_socket();
  const image::File* record = nullptr;
  if (!message.sender().empty())
    record = find_named(context, file.network(), message.sender(),
                        [](const auto& socket) { return socket.type() == SOCK_DGRAM; });
  Fd temporary;
  if (record == nullptr) temporary = TRY(make_sender(context, file.network(), message.sender()));
  int sender = record != nullptr ? context.description(record->id()) : temporary.get();
  TRY(sys::enlarge_send_buffer(sender, message.data().size()));
  return run_in_root_of(context.mounts(), receiver,
                        [&] { return send_message(context, sender, message, receiver.name()); });
}

Result<void> fill_from_senders(ApplyContext& context, const image::File& file) {
  const image::UnixSocket& socket = file.unix_socket();
  if (socket.queue().empty()) return {};
  if (!is_abstract(socket.name()) && !socket.has_file())
    return fail(Code::kUnsupported, "queue of a datagram socket that has no name any more");
  for (const image::UnixMessage& message : socket.queue()) TRY(send_as(context, message, file));
  return {};
}

Result<void> connect_to_name(ApplyContext& context, const image::UnixSocket& socket, int fd) {
  const image::File* peer = record_of_peer(context, socket);
  if (peer == nullptr || peer->unix_socket().name().empty())
    return fail(Code::kBadImage, "Unix socket connected to one without a name");
  const image::UnixSocket& target = peer->unix_socket();
  return run_in_root_of(context.mounts(), target,
                        [&] { return sys::connect_address(fd, target.name()); });
}

}  // namespace

Result<Fd> create_unix(ApplyContext& context, const image::File& file, UnixCaller& caller) {
  const image::UnixSocket& socket = file.unix_socket();
  TRY(check(socket));
  Fd fd = TRY_IN(make_socket(context, caller, file),
                 "Unix socket " + sys::describe_address(socket.name()));
  TRY(apply_options(context, fd.get(), socket.common(), sys::OptionPhase::kBeforeBind));
  TRY(apply_identity(fd.get(), file, socket.common()));
  return fd;
}

Result<void> create_unix_sockets(ApplyContext& context, UnixCaller& caller) {
  for (const auto& [id, file] : context.files())
    if (file.has_unix_socket())
      context.set_description(
          id, TRY_IN(create_unix(context, file, caller), "file " + std::to_string(id)));
  for (const auto& [id, file] : context.files())
    if (file.has_unix_socket() && !file.unix_socket().waiting().empty())
      TRY_IN(connect_waiting(context, caller, file), "file " + std::to_string(id));
  return {};
}

Result<void> complete_unix(ApplyContext& context, const image::File& file, int fd) {
  const image::UnixSocket& socket = file.unix_socket();
  if (is_half_of_pair(context, socket)) {
    auto closed = context.take_stashed(closed_peer_key(socket));
    const image::File* record = record_of_peer(context, socket);
    int peer = closed ? closed->get() : context.description(record->id());
    return fill_from_peer(context, peer, socket);
  }
  if (socket.listening()) return fill_waiting(context, socket);
  TRY(fill_from_senders(context, file));
  return socket.connected() && !socket.waits() ? connect_to_name(context, socket, fd)
                                               : Result<void>();
}

void go_live_unix(ApplyContext& context, const image::UnixSocket& socket, int fd) {
  constexpr uint32_t kReceive = 1;
  constexpr uint32_t kSend = 2;
  // A connection whose other end is closed is shut already.
  if (socket.shutdown() & kReceive) ::shutdown(fd, SHUT_RD);
  if (socket.shutdown() & kSend) ::shutdown(fd, SHUT_WR);
  log_if_failed(sys::write_socket_filter(fd, socket.common().filter()), "filter of a Unix socket");
  log_if_failed(apply_options(context, fd, socket.common(), sys::OptionPhase::kLast),
                "Unix socket");
}

}  // namespace martlet::engine
