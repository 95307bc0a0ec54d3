#include "agent/state_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>

namespace martlet::agent {

Result<Fd> lock_state(const std::string& state_dir) {
  const std::string path = state_dir + "/lock";
  Fd lock = TRY(open_file(path, O_RDWR | O_CREAT, 0600));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(lock.get(), F_SETLK, &whole) == 0) return lock;
  if (errno != EACCES && errno != EAGAIN) return fail_errno("locking " + path);
  return std::unexpected(
      Error(Code::kAlreadyExists, fmt::format("another agent uses {}", state_dir))
          .with_remedy("give each agent its own --state-dir"));
}

}  // namespace martlet::agent
