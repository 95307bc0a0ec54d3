// The registry of file kinds.
#include "engine/files/epoll_kind.h"
#include "engine/files/event_kind.h"
#include "engine/files/file_kind.h"
#include "engine/files/path_kind.h"
#include "engine/files/pipe_kind.h"
#include "engine/files/signal_kind.h"
#include "engine/files/timer_kind.h"
#include "engine/memory/memory_file_kind.h"

namespace martlet::engine {

const std::vector<const FileKind*>& file_kinds() {
  static const std::vector<const FileKind*> kinds = {
      &event_kind(), &signal_kind(),      &timer_kind(), &epoll_kind(),
      &pipe_kind(),  &memory_file_kind(), &path_kind(),
  };
  return kinds;
}

std::string describe(const OpenFile& file) {
  return "fd " + std::to_string(file.number) + " (" + file.link + ")";
}

}  // namespace martlet::engine
