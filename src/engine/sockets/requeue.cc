#include "engine/sockets/requeue.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_name.h"
#include "sys/sock_diag.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

struct Renewal {
  const MountViews& views;  // of the capture
  image::UnixSocket socket;
  std::vector<Fd> senders;  // of each message of the queue
};

// Whether the messages would come in again as they came in once.
bool accepts_again(int fd, const image::UnixSocket& socket) {
  constexpr uint32_t kReceive = 1;
  bool reachable = socket.name().empty() || is_abstract(socket.name()) || socket.has_file();
  return reachable && (socket.shutdown() & kReceive) == 0 &&
         sys::get_int_option(fd, SOL_SOCKET, SO_PASSCRED).value_or(1) == 0;
}

bool may_send(CaptureContext& context, const OpenFile& file) {
  constexpr uint8_t kSend = 2;
  auto diag = group_sock_diag(context, file.network);
  if (!diag) return false;
  auto info = sys::query_unix_socket(*diag, static_cast<uint32_t>(file.status.st_ino));
  return info && (info->shutdown & kSend) == 0;
}

std::string name_of(const OpenFile& file) {
  const auto& type = file.socket;
  if (!type || type->family != AF_UNIX || type->type != SOCK_DGRAM) return {};
  return named_or_empty(sys::local_address(file.fd).value_or(""));
}

const OpenFile* find_sender(CaptureContext& context, uint32_t network,
                            const image::UnixSocket& socket, const std::string& name) {
  auto sent_it = [&](const OpenFile& file) {
    if (socket.connected()) return file.status.st_ino == socket.peer_inode();
    return name_of(file) == name && (!is_abstract(name) || file.network == network);
  };
  auto found = std::ranges::find_if(context.files(), [&](const OpenFile& file) {
    return S_ISSOCK(file.status.st_mode) && sent_it(file) && may_send(context, file);
  });
  return found == context.files().end() ? nullptr : &*found;
}

Result<Fd> fresh_sender(CaptureContext& context, uint32_t network) {
  Fd fd;
  TRY(context.networks().run_inside(network, [&]() -> Result<void> {
    fd = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return fail_errno("create a socket");
    return {};
  }));
  return fd;
}

// Not set if one of the senders is gone.
Result<std::optional<std::vector<Fd>>> find_senders(CaptureContext& context, uint32_t network,
                                                    const image::UnixSocket& socket) {
  std::vector<Fd> senders;
  for (const image::UnixMessage& message : socket.queue()) {
    Fd sender;
    if (!socket.connected() && message.sender().empty()) {
      sender = TRY(fresh_sender(context, network));
    } else {
      const OpenFile* file = find_sender(context, network, socket, message.sender());
      if (file == nullptr) return std::nullopt;
      sender = Fd(::fcntl(file->fd, F_DUPFD_CLOEXEC, 0));
    }
    senders.push_back(std::move(sender));
  }
  return senders;
}

Result<void> send_again(const Renewal& renewal) {
  const std::string to = renewal.socket.type() == SOCK_DGRAM ? renewal.socket.name() : "";
  const auto* name = to.empty() ? nullptr : reinterpret_cast<const sockaddr*>(to.data());
  for (int i = 0; i < renewal.socket.queue_size(); ++i) {
    const std::string& data = renewal.socket.queue(i).data();
    ssize_t put = ::sendto(renewal.senders[static_cast<size_t>(i)].get(), data.data(), data.size(),
                           MSG_DONTWAIT | MSG_NOSIGNAL, name, static_cast<socklen_t>(to.size()));
    if (put < 0) return fail_errno("put a datagram back");
  }
  return {};
}

Result<void> renew(const Renewal& renewal, int fd) {
  TRY(drain_queue(fd, renewal.socket.queue_size()));
  if (path_of(renewal.socket.name()).empty()) return send_again(renewal);
  return run_in_root_of(renewal.views, renewal.socket, [&] { return send_again(renewal); });
}

}  // namespace

Result<void> drain_queue(int fd, int count) {
  auto offset = sys::get_int_option(fd, SOL_SOCKET, SO_PEEK_OFF);
  char byte = 0;
  for (int i = 0; i < count; ++i)
    if (::recv(fd, &byte, sizeof byte, MSG_DONTWAIT) < 0) return fail_errno("take a datagram out");
  return offset ? sys::set_int_option(fd, SOL_SOCKET, SO_PEEK_OFF, *offset) : Result<void>();
}

Result<void> renew_queue_on_thaw(CaptureContext& context, const OpenFile& file,
                                 const image::UnixSocket& socket) {
  auto is_empty = [](const image::UnixMessage& message) { return message.data().empty(); };
  if (std::ranges::none_of(socket.queue(), is_empty)) return {};
  auto carries = [](const image::UnixMessage& message) { return message.descriptors_size() > 0; };
  if (std::ranges::any_of(socket.queue(), carries)) return {};
  if (!accepts_again(file.fd, socket)) return {};
  auto senders = TRY(find_senders(context, file.network, socket));
  if (!senders) return {};
  auto renewal = std::make_shared<Renewal>(Renewal{context.mounts(), socket, std::move(*senders)});
  on_thaw(context, file.fd,
          [renewal](int fd) { log_if_failed(renew(*renewal, fd), "queue of a socket"); });
  return {};
}

}  // namespace martlet::engine
