// The registry of file kinds.
#include <sys/sysmacros.h>

#include <algorithm>

#include "engine/files/epoll_kind.h"
#include "engine/files/event_kind.h"
#include "engine/files/file_kind.h"
#include "engine/files/path_kind.h"
#include "engine/files/pipe_kind.h"
#include "engine/files/signal_kind.h"
#include "engine/files/timer_kind.h"
#include "engine/memory/memory_file_kind.h"
#include "engine/sockets/tcp_socket.h"
#include "engine/sockets/udp_socket.h"
#include "engine/sockets/unix_socket.h"

namespace martlet::engine {

const std::vector<const FileKind*>& file_kinds() {
  static const std::vector<const FileKind*> kinds = {
      &tcp_socket_kind(),  &udp_socket_kind(), &unix_socket_kind(), &event_kind(),
      &signal_kind(),      &timer_kind(),      &epoll_kind(),       &pipe_kind(),
      &memory_file_kind(), &path_kind(),
  };
  return kinds;
}

std::string unsupported(const OpenFile& file) {
  constexpr unsigned kTerminalMajors[] = {4, 5};  // consoles; /dev/tty and /dev/ptmx
  if (!S_ISCHR(file.status.st_mode)) return "not supported";
  unsigned major = ::major(file.status.st_rdev);
  bool terminal = std::ranges::find(kTerminalMajors, major) != std::end(kTerminalMajors);
  return terminal ? "terminals are not supported" : "this device is not supported";
}

}  // namespace martlet::engine
