#include "engine/files/file_locks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <limits>
#include <sstream>

namespace martlet::engine {
namespace {

constexpr std::string_view kLockKey = "lock:";

// "lock:	1: FLOCK  ADVISORY  WRITE 8814 fe:00:10952821 0 EOF", the last two being first and
// last byte.
Result<image::FileLock> parse_lock(const std::string& line) {
  std::istringstream words(line.substr(kLockKey.size()));
  std::string number, type, strictness, access, owner, file, start, end;
  words >> number >> type >> strictness >> access >> owner >> file >> start >> end;
  image::FileLock lock;
  if (type == "FLOCK") {
    lock.set_kind(image::FileLock::WHOLE_FILE);
  } else if (type == "OFDLCK") {
    lock.set_kind(image::FileLock::RANGE);
    uint64_t first = std::strtoull(start.c_str(), nullptr, 10);
    lock.set_start(first);
    if (end != "EOF") lock.set_length(std::strtoull(end.c_str(), nullptr, 10) - first + 1);
  } else {
    return fail(Code::kUnsupported, fmt::format("file lock of type {}", type));
  }
  lock.set_exclusive(access == "WRITE");
  return lock;
}

Result<void> take_range(int fd, const image::FileLock& lock) {
  constexpr uint64_t kLimit = std::numeric_limits<off_t>::max();
  if (lock.start() > kLimit || lock.length() > kLimit - lock.start())
    return fail(Code::kBadImage, "range of a file lock is out of bounds");
  struct flock range{};
  range.l_type = lock.exclusive() ? F_WRLCK : F_RDLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(lock.start());
  range.l_len = static_cast<off_t>(lock.length());
  if (::fcntl(fd, F_OFD_SETLK, &range) != 0) return fail_errno("lock a range of the file");
  return {};
}

}  // namespace

Result<std::vector<image::FileLock>> parse_locks(std::string_view info) {
  std::vector<image::FileLock> locks;
  std::istringstream lines{std::string(info)};
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(kLockKey)) locks.push_back(TRY(parse_lock(line)));
  return locks;
}

Result<void> take_lock(int fd, const image::FileLock& lock) {
  Result<void> taken;
  if (lock.kind() == image::FileLock::RANGE)
    taken = take_range(fd, lock);
  else if (::flock(fd, (lock.exclusive() ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
    taken = fail_errno("lock the file");
  if (!taken && (taken.error().error_number() == EAGAIN || taken.error().error_number() == EACCES))
    return fail(Code::kAlreadyExists, "the file is locked by somebody else");
  return taken;
}

}  // namespace martlet::engine
