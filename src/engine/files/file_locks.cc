#include "engine/files/file_locks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <limits>
#include <sstream>

#include "engine/task.h"

namespace martlet::engine {
namespace {

constexpr std::string_view kLockKey = "lock:";

enum class Owner { kDescription, kProcess };

struct Line {
  Owner owner;
  image::FileLock lock;
};

// "lock:	1: FLOCK  ADVISORY  WRITE 8814 fe:00:10952821 0 EOF", the last two being first and
// last byte.
Result<Line> parse_line(const std::string& line) {
  std::istringstream words(line.substr(kLockKey.size()));
  std::string number, type, strictness, access, pid, file, start, end;
  words >> number >> type >> strictness >> access >> pid >> file >> start >> end;
  if (type != "FLOCK" && type != "OFDLCK" && type != "POSIX")
    return fail(Code::kUnsupported, fmt::format("file lock of type {}", type));
  Line parsed{type == "POSIX" ? Owner::kProcess : Owner::kDescription, {}};
  parsed.lock.set_exclusive(access == "WRITE");
  if (type == "FLOCK") return parsed;
  uint64_t first = std::strtoull(start.c_str(), nullptr, 10);
  parsed.lock.set_kind(image::FileLock::RANGE);
  parsed.lock.set_start(first);
  if (end != "EOF") parsed.lock.set_length(std::strtoull(end.c_str(), nullptr, 10) - first + 1);
  return parsed;
}

bool is_lease(const std::string& line) {
  return line.starts_with(kLockKey) && line.find(" LEASE ") != std::string::npos;
}

Result<std::vector<image::FileLock>> parse_locks_of(Owner owner, std::string_view info) {
  std::vector<image::FileLock> locks;
  if (info.find(kLockKey) == std::string_view::npos) return locks;
  std::istringstream lines{std::string(info)};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kLockKey)) continue;
    if (is_lease(line)) continue;
    Line parsed = TRY(parse_line(line));
    if (parsed.owner == owner) locks.push_back(std::move(parsed.lock));
  }
  return locks;
}

Result<struct flock> to_kernel(const image::FileLock& lock) {
  constexpr uint64_t kLimit = std::numeric_limits<off_t>::max();
  if (lock.start() > kLimit || lock.length() > kLimit - lock.start())
    return fail(Code::kBadImage, "range of a file lock is out of bounds");
  struct flock range{};
  range.l_type = lock.exclusive() ? F_WRLCK : F_RDLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(lock.start());
  range.l_len = static_cast<off_t>(lock.length());
  return range;
}

Result<void> take_range(int fd, const image::FileLock& lock) {
  struct flock range = TRY(to_kernel(lock));
  if (::fcntl(fd, F_OFD_SETLK, &range) != 0) return fail_errno("lock a range of the file");
  return {};
}

// A conflict shows as one of two errors.
Result<void> name_conflict(Result<void> taken) {
  if (!taken && (taken.error().error_number() == EAGAIN || taken.error().error_number() == EACCES))
    return fail(Code::kAlreadyExists, "the file is locked by somebody else");
  return taken;
}

int lock_type(image::Lease lease) {
  return lease == image::LEASE_WRITE ? F_WRLCK : F_RDLCK;
}

bool can_be_taken_through(const OpenFile& file, const image::FileLock& lock) {
  int access = file.flags & O_ACCMODE;
  return access == O_RDWR || access == (lock.exclusive() ? O_WRONLY : O_RDONLY);
}

}  // namespace

Result<std::vector<image::FileLock>> parse_locks(std::string_view info) {
  return parse_locks_of(Owner::kDescription, info);
}

// "lock:	1: LEASE  ACTIVE    WRITE 8814 fe:00:10952821 0 EOF"; BREAKING instead of ACTIVE
// while somebody waits for it to be given up.
Result<image::Lease> parse_lease(std::string_view info) {
  std::istringstream lines{std::string(info)};
  for (std::string line; std::getline(lines, line);) {
    if (!is_lease(line)) continue;
    std::istringstream words(line.substr(kLockKey.size()));
    std::string number, type, state, access;
    words >> number >> type >> state >> access;
    if (state != "ACTIVE")
      return std::unexpected(
          Error(Code::kUnsupported, "somebody waits for its lease to be given up")
              .with_remedy("try again when the program has done so"));
    return access == "WRITE" ? image::LEASE_WRITE : image::LEASE_READ;
  }
  return image::LEASE_NONE;
}

Result<void> take_lease(Task& task, int number, image::Lease lease) {
  TRY(task.call("take a lease", SYS_fcntl, {number, F_SETLEASE, lock_type(lease)}));
  return {};
}

Result<void> take_lease(int fd, image::Lease lease) {
  if (::fcntl(fd, F_SETLEASE, lock_type(lease)) != 0) return fail_errno("take a lease");
  return {};
}

Result<void> take_lock(int fd, const image::FileLock& lock) {
  if (lock.kind() == image::FileLock::RANGE) return name_conflict(take_range(fd, lock));
  if (::flock(fd, (lock.exclusive() ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
    return name_conflict(fail_errno("lock the file"));
  return {};
}

Result<void> capture_process_locks(const OpenFile& file,
                                   google::protobuf::RepeatedPtrField<image::ProcessLock>& out) {
  for (const image::FileLock& lock : TRY(parse_locks_of(Owner::kProcess, file.info))) {
    if (!can_be_taken_through(file, lock)) continue;
    image::ProcessLock& record = *out.Add();
    record.set_fd(file.number);
    *record.mutable_lock() = lock;
  }
  return {};
}

Result<void> apply_process_locks(
    Task& task, const google::protobuf::RepeatedPtrField<image::ProcessLock>& locks) {
  for (const image::ProcessLock& lock : locks) {
    struct flock range = TRY(to_kernel(lock.lock()));
    Program program(task.arena());
    program.call("lock", SYS_fcntl, {lock.fd(), F_SETLK, program.put_value(range)});
    TRY_IN(name_conflict(task.run(program)), fmt::format("fd {}", lock.fd()));
  }
  return {};
}

}  // namespace martlet::engine
