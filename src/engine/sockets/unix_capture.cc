#include "engine/sockets/unix_capture.h"

#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_name.h"
#include "sys/sock_diag.h"
#include "sys/socket_address.h"
#include "sys/socket_queue.h"

namespace martlet::engine {
namespace {

constexpr uint8_t kBothWays = 3;

bool is_in_group(CaptureContext& context, uint32_t inode) {
  return std::ranges::any_of(context.files(), [&](const OpenFile& file) {
    return S_ISSOCK(file.status.st_mode) && file.status.st_ino == inode;
  });
}

// What the kernel remembers of the process that made the other end; a listener remembers its own.
std::optional<ucred> credentials_of(int fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0 ||
      credentials.uid == UINT32_MAX)
    return std::nullopt;
  return credentials;
}

std::string describe_outside_peer(int fd, const std::string& name) {
  auto peer = credentials_of(fd);
  std::string process = "a process";
  if (peer && peer->pid > 0) process = "process " + std::to_string(peer->pid);
  return "Unix socket (" + sys::describe_address(name) + ") of " + process;
}

Result<void> capture_peer(CaptureContext& context, const OpenFile& file,
                          const sys::UnixSocketInfo& info, image::UnixSocket& out) {
  if (!info.peer) return {};
  out.set_connected(true);
  out.set_peer_inode(*info.peer);
  out.set_peer_name(named_or_empty(TRY(sys::remote_address(file.fd))));
  if (*info.peer != 0 && !is_in_group(context, *info.peer))
    return fail(Code::kUnsupported, "is connected to the " +
                                        describe_outside_peer(file.fd, out.peer_name()) +
                                        " outside of the group");
  if (*info.peer == 0 && out.type() != SOCK_DGRAM && info.shutdown != kBothWays)
    return fail(Code::kUnsupported, "Unix connection to " + sys::describe_address(out.peer_name()) +
                                        " waits to be accepted");
  return {};
}

Result<void> capture_listener(const sys::UnixSocketInfo& info, image::UnixSocket& out) {
  out.set_listening(true);
  out.set_backlog(info.send_queue);
  if (info.receive_queue == 0) return {};
  return fail(Code::kUnsupported, "Unix listener " + sys::describe_address(out.name()) + " has " +
                                      std::to_string(info.receive_queue) +
                                      " connections waiting to be accepted");
}

Result<std::string> directory_of(HostPid process) {
  std::string link = "/proc/" + to_string(process) + "/cwd";
  std::string path(PATH_MAX, '\0');
  ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  if (length < 0) return fail_errno("read " + link);
  path.resize(static_cast<size_t>(length));
  return path;
}

// Whether the path still leads to the socket: the file may have been unlinked, or replaced.
Result<void> capture_file(const OpenFile& file, const sys::UnixSocketInfo& info,
                          image::UnixSocket& out) {
  std::string path = path_of(out.name());
  if (path.empty()) return {};
  bool relative = path[0] != '/';
  std::string seen = "/proc/" + to_string(file.holder) + (relative ? "/cwd/" : "/root") + path;
  struct stat status{};
  if (::lstat(seen.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return {};
  if (!info.file_inode || static_cast<uint32_t>(status.st_ino) != *info.file_inode) return {};
  out.set_has_file(true);
  out.set_mode(status.st_mode & 07777);
  out.set_file_uid(status.st_uid);
  out.set_file_gid(status.st_gid);
  if (relative) out.set_directory(TRY(directory_of(file.holder)));
  return {};
}

Result<std::vector<sys::QueuedMessage>> peek_queue(const OpenFile& file, uint32_t type) {
  if (type == SOCK_DGRAM) return sys::peek_messages(file.fd);
  int waiting = 0;
  if (::ioctl(file.fd, FIONREAD, &waiting) != 0) return fail_errno("size of a socket's queue");
  return sys::peek_messages_of(file.fd, static_cast<size_t>(waiting));
}

Result<void> capture_queue(const OpenFile& file, image::UnixSocket& out) {
  for (sys::QueuedMessage& message : TRY(peek_queue(file, out.type()))) {
    if (message.has_descriptors)
      return fail(Code::kUnsupported, "descriptors in flight (SCM_RIGHTS) wait to be received");
    image::UnixMessage& record = *out.add_queue();
    record.set_data(std::move(message.data));
    record.set_sender(named_or_empty(message.sender));
  }
  return {};
}

}  // namespace

Result<void> capture_unix(CaptureContext& context, const OpenFile& file, image::UnixSocket& out) {
  int diag = TRY(group_sock_diag(context));
  auto info = TRY(sys::query_unix_socket(diag, static_cast<uint32_t>(file.status.st_ino)));
  TRY(capture_common(file, *out.mutable_common()));
  out.set_type(info.type);
  out.set_inode(info.inode);
  out.set_name(named_or_empty(TRY(sys::local_address(file.fd))));
  out.set_shutdown(info.shutdown);
  if (auto credentials = credentials_of(file.fd)) {
    out.set_has_credentials(true);
    out.set_credentials_uid(credentials->uid);
    out.set_credentials_gid(credentials->gid);
  }
  TRY(capture_peer(context, file, info, out));
  TRY(capture_file(file, info, out));
  if (info.state == TCP_LISTEN) return capture_listener(info, out);
  return capture_queue(file, out);
}

}  // namespace martlet::engine
