#include "engine/sockets/unix_capture.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "engine/sockets/common.h"
#include "engine/sockets/requeue.h"
#include "engine/sockets/unix_name.h"
#include "sys/procfs.h"
#include "sys/sock_diag.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

constexpr uint8_t kBothWays = 3;
constexpr size_t kEffective = 1;  // of sys::TaskStatus::uids

// What the kernel remembers of the process that made the other end; a listener remembers its own.
std::optional<ucred> credentials_of(int fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0 ||
      credentials.uid == UINT32_MAX)
    return std::nullopt;
  return credentials;
}

// As a child in the PID namespace of `root` sees it.
Result<pid_t> peer_pid_inside(HostPid root, int fd) {
  pid_t pid = 0;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  Fd reader(ends[0]);
  Fd writer(ends[1]);
  TRY(run_in_namespace(root, "pid", [&]() -> Result<void> {
    pid_t child = ::fork();
    if (child < 0) return fail_errno("fork");
    if (child == 0) {
      ucred peer{};
      socklen_t length = sizeof peer;
      ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
      ::_exit(::write(writer.get(), &peer.pid, sizeof peer.pid) == sizeof peer.pid ? 0 : 1);
    }
    if (::waitpid(child, nullptr, 0) != child) return fail_errno("wait for a child");
    return {};
  }));
  writer.reset();
  TRY(read_full(reader.get(), std::as_writable_bytes(std::span(&pid, 1))));
  return pid;
}

// The number by which the group knows the process that made the other end; it may have ended.
Result<pid_t> pid_of_peer(const CaptureContext& context, const OpenFile& file, HostPid seen_here) {
  if (auto member = context.task(seen_here)) return member->value;
  if (TRY(lives_further_in(context, file.holder)))
    return fail(Code::kUnsupported,
                "the process that made the other end has ended or is outside of the group, and may "
                "be known in the nested PID namespace of who has this one");
  auto root = TRY(sys::read_status(context.root()));
  if (root.ns_tids.size() == 1 || seen_here.value == 0) return seen_here.value;
  auto peer = sys::read_status(seen_here);
  bool alive = peer && peer->ns_tids.size() == root.ns_tids.size() &&
               sys::read_link(sys::proc_path(seen_here, "ns/pid")).value_or("?") ==
                   sys::read_link(sys::proc_path(context.root(), "ns/pid")).value_or("");
  if (alive) return peer->ns_tids.back().value;
  return peer_pid_inside(context.root(), file.fd);
}

std::string describe_outside_peer(int fd, const std::string& name) {
  auto peer = credentials_of(fd);
  std::string process = "a process";
  if (peer && peer->pid > 0) process = "process " + std::to_string(peer->pid);
  return "Unix socket (" + sys::describe_address(name) + ") of " + process;
}

bool waits_to_be_accepted(CaptureContext& context, uint32_t inode) {
  return std::ranges::any_of(context.unix_backlogs(), [&](const auto& backlog) {
    return std::ranges::any_of(backlog.second, [&](const image::UnixSocket& waiting) {
      return waiting.peer_inode() == inode;
    });
  });
}

// Of the socket at the other end, in the network namespace of the file or in this process's.
Result<sys::UnixSocketInfo> query_outside(CaptureContext& context, const OpenFile& file,
                                          uint32_t inode) {
  int diag = TRY(group_sock_diag(context, file.network));
  if (auto found = sys::query_unix_socket(diag, inode)) return found;
  const Fd own = TRY(sys::open_sock_diag());
  return sys::query_unix_socket(own.get(), inode);
}

// Whether the group comes by the name of the other end to where that is, or its listener was.
bool leads_to_peer(CaptureContext& context, const OpenFile& file, const image::UnixSocket& socket) {
  if (is_abstract(socket.peer_name())) return true;
  const std::string path = path_of(socket.peer_name());
  if (!path.starts_with('/')) return false;
  const auto info = query_outside(context, file, socket.peer_inode());
  const auto seen = context.mounts().open(0, path, O_PATH);
  struct stat status{};
  return info && info->file_inode && seen && ::fstat(seen->get(), &status) == 0 &&
         S_ISSOCK(status.st_mode) && static_cast<uint32_t>(status.st_ino) == *info->file_inode;
}

// Who has the socket is taken for who has connected it.
Result<void> capture_reconnection(CaptureContext& context, const OpenFile& file,
                                  image::UnixSocket& out) {
  const std::string peer = describe_outside_peer(file.fd, out.peer_name());
  if (out.peer_name().empty() || !leads_to_peer(context, file, out))
    return fail(Code::kUnsupported, "cannot connect to the " + peer +
                                        " outside of the group again: no name leads to it from "
                                        "inside");
  if (out.type() != SOCK_DGRAM && !out.name().empty())
    return fail(Code::kUnsupported, "cannot connect to the " + peer +
                                        " outside of the group again: it has a name itself, so "
                                        "either end may have been connected to");
  if (out.type() != SOCK_DGRAM && context.unix_queues().contains(file.id))
    return fail(Code::kUnsupported, "has not read all that the " + peer +
                                        " outside of the group has sent, which a new connection "
                                        "would not have");
  const auto holder = TRY(sys::read_status(file.holder));
  image::UnixSocket& outside = *out.mutable_outside();
  outside.set_type(out.type());
  outside.set_name(out.peer_name());
  outside.set_has_credentials(true);
  outside.set_credentials_pid(context.task(file.holder).value_or(NsPid()).value);
  outside.set_credentials_uid(holder.uids[kEffective]);
  outside.set_credentials_gid(holder.gids[kEffective]);
  out.set_connected(false);
  out.set_peer_inode(0);
  out.clear_peer_name();
  return {};
}

Result<void> capture_outside_peer(CaptureContext& context, const OpenFile& file,
                                  image::UnixSocket& out) {
  switch (context.outside_peers()) {
    case OutsidePeers::kClose: out.set_peer_inode(0); return {};
    case OutsidePeers::kReconnect: return capture_reconnection(context, file, out);
    case OutsidePeers::kRefuse: break;
  }
  return std::unexpected(
      Error(Code::kUnsupported, "is connected to the " +
                                    describe_outside_peer(file.fd, out.peer_name()) +
                                    " outside of the group")
          .with_remedy("say what becomes of it (--external-unix close or reconnect)"));
}

Result<void> capture_peer(CaptureContext& context, const OpenFile& file,
                          const sys::UnixSocketInfo& info, image::UnixSocket& out) {
  if (!info.peer) return {};
  out.set_connected(true);
  out.set_peer_inode(*info.peer);
  out.set_peer_name(named_or_empty(TRY(sys::remote_address(file.fd))));
  if (*info.peer != 0 && !has_socket(context, *info.peer))
    return capture_outside_peer(context, file, out);
  out.set_waits(waits_to_be_accepted(context, info.inode));
  if (*info.peer == 0 && out.type() != SOCK_DGRAM && info.shutdown != kBothWays && !out.waits())
    return fail(Code::kUnsupported, "Unix connection to " + sys::describe_address(out.peer_name()) +
                                        " waits to be accepted");
  return {};
}

// They connect again by the listener's name.
Result<void> capture_listener(CaptureContext& context, const OpenFile& file,
                              const sys::UnixSocketInfo& info, image::UnixSocket& out) {
  out.set_listening(true);
  out.set_backlog(info.send_queue);
  if (info.receive_queue == 0) return {};
  const std::string problem = "Unix listener " + sys::describe_address(out.name()) + " has " +
                              std::to_string(info.receive_queue) +
                              " connections waiting to be accepted, ";
  if (!is_abstract(out.name()) && !out.has_file())
    return fail(Code::kUnsupported, problem + "and its path does not lead to it");
  *out.mutable_waiting() = context.unix_backlogs()[file.id];
  if (static_cast<uint32_t>(out.waiting_size()) == info.receive_queue) return {};
  return fail(Code::kUnsupported,
              problem + "of which " + std::to_string(out.waiting_size()) + " could be read");
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
Result<void> capture_file(const CaptureContext& context, const OpenFile& file,
                          const sys::UnixSocketInfo& info, image::UnixSocket& out) {
  std::string path = path_of(out.name());
  if (path.empty()) return {};
  bool relative = path[0] != '/';
  std::string seen = "/proc/" + to_string(file.holder) + (relative ? "/cwd/" : "/root") + path;
  struct stat status{};
  if (::lstat(seen.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return {};
  if (!info.file_inode || static_cast<uint32_t>(status.st_ino) != *info.file_inode) return {};
  out.set_has_file(true);
  out.set_mount_namespace(context.mounts().number_of(seen));
  out.set_mode(status.st_mode & 07777);
  out.set_file_uid(status.st_uid);
  out.set_file_gid(status.st_gid);
  if (relative) out.set_directory(TRY(directory_of(file.holder)));
  return {};
}

}  // namespace

Result<void> capture_unix(CaptureContext& context, const OpenFile& file, image::UnixSocket& out) {
  int diag = TRY(group_sock_diag(context, file.network));
  auto info = TRY(sys::query_unix_socket(diag, static_cast<uint32_t>(file.status.st_ino)));
  TRY(capture_common(context, file, *out.mutable_common()));
  out.set_type(info.type);
  out.set_inode(info.inode);
  out.set_name(named_or_empty(TRY(sys::local_address(file.fd))));
  out.set_shutdown(info.shutdown);
  if (auto credentials = credentials_of(file.fd)) {
    out.set_has_credentials(true);
    out.set_credentials_pid(TRY(pid_of_peer(context, file, HostPid(credentials->pid))));
    out.set_credentials_uid(credentials->uid);
    out.set_credentials_gid(credentials->gid);
  }
  TRY(capture_peer(context, file, info, out));
  TRY(capture_file(context, file, info, out));
  if (info.state == TCP_LISTEN) return capture_listener(context, file, info, out);
  if (auto queue = context.unix_queues().find(file.id); queue != context.unix_queues().end())
    *out.mutable_queue() = queue->second;
  if (out.type() == SOCK_STREAM) return {};
  return renew_queue_on_thaw(context, file, out);
}

}  // namespace martlet::engine
