// The registry of file kinds.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "engine/files/epoll_kind.h"
#include "engine/files/event_kind.h"
#include "engine/files/file_kind.h"
#include "engine/files/inotify_kind.h"
#include "engine/files/namespace_kind.h"
#include "engine/files/path_kind.h"
#include "engine/files/pid_kind.h"
#include "engine/files/pipe_kind.h"
#include "engine/files/signal_kind.h"
#include "engine/files/timer_kind.h"
#include "engine/ipc/posix_queue_kind.h"
#include "engine/memory/memory_file_kind.h"
#include "engine/sockets/netlink_socket.h"
#include "engine/sockets/packet_socket.h"
#include "engine/sockets/raw_socket.h"
#include "engine/sockets/tcp_socket.h"
#include "engine/sockets/udp_socket.h"
#include "engine/sockets/unix_socket.h"
#include "engine/terminals/terminal_kinds.h"

namespace martlet::engine {
namespace {

std::string unsupported_socket(const sys::SocketType& socket) {
  constexpr std::pair<int, std::string_view> kFamilies[] = {
      {AF_NETLINK, "netlink"}, {AF_PACKET, "packet"}, {AF_VSOCK, "vsock"}, {AF_ALG, "crypto"},
      {AF_XDP, "XDP"},         {AF_UNIX, "Unix"},     {AF_INET, "IPv4"},   {AF_INET6, "IPv6"}};
  for (auto [number, name] : kFamilies)
    if (number == socket.family)
      return fmt::format("{} sockets of type {} and protocol {} are not supported", name,
                         socket.type, socket.protocol);
  return fmt::format("sockets of address family {} are not supported", socket.family);
}

std::string unsupported_device(dev_t device) {
  constexpr unsigned kTerminalMajors[] = {4, 5};  // consoles; /dev/tty and /dev/ptmx
  bool terminal = std::ranges::find(kTerminalMajors, ::major(device)) != std::end(kTerminalMajors);
  return terminal ? "terminals are not supported" : "this device is not supported";
}

}  // namespace

const std::vector<const FileKind*>& file_kinds() {
  static const std::vector<const FileKind*> kinds = {
      &tcp_socket_kind(),
      &udp_socket_kind(),
      &raw_socket_kind(),
      &unix_socket_kind(),
      &netlink_socket_kind(),
      &packet_socket_kind(),
      &event_kind(),
      &signal_kind(),
      &timer_kind(),
      &epoll_kind(),
      &pipe_kind(),
      &inotify_kind(),
      &pid_kind(),
      &namespace_kind(),
      &memory_file_kind(),
      &terminal_master_kind(),
      &terminal_slave_kind(),
      &posix_queue_kind(),
      &path_kind(),
  };
  return kinds;
}

std::string unsupported(const OpenFile& file) {
  if (S_ISSOCK(file.status.st_mode))
    return unsupported_socket(file.socket.value_or(sys::SocketType{}));
  if (S_ISCHR(file.status.st_mode)) return unsupported_device(file.status.st_rdev);
  return "not supported";
}

}  // namespace martlet::engine
