#include "sys/userfaultfd.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace martlet::sys {
namespace {

// From <linux/userfaultfd.h> of Linux 6.7; Debian 12's headers are older.
constexpr uint64_t kFeatureShmemWriteProtect = 1u << 12;
constexpr uint64_t kFeatureUnpopulated = 1u << 13;
constexpr uint64_t kFeatureAsync = 1u << 15;
constexpr uint64_t kTrackWrites = kFeatureAsync | kFeatureUnpopulated | kFeatureShmemWriteProtect;
constexpr int kUserModeOnly = 1;

Result<void> failure(const char* what) {
  if (errno == ESRCH) return std::unexpected(Error(Code::kGone, what));
  return fail_errno(what);
}

// The kernel says in `put` how far it came, or why it did not begin.
Result<Userfaultfd::Put> outcome_of(int result, int64_t put, const char* what) {
  using Outcome = Userfaultfd::Outcome;
  auto bytes = static_cast<uint64_t>(std::max<int64_t>(put, 0));
  if (result == 0) return Userfaultfd::Put{Outcome::kDone, bytes};
  switch (errno) {
    case EAGAIN: return Userfaultfd::Put{Outcome::kChanging, bytes};
    case EEXIST: return Userfaultfd::Put{Outcome::kPageExists, bytes};
    case ENOENT:
    case EFAULT: return Userfaultfd::Put{Outcome::kNoMapping, bytes};
    case ESRCH: return Userfaultfd::Put{Outcome::kGone, bytes};
    case ENOMEM: return Userfaultfd::Put{Outcome::kNoMemory, bytes};
    default: return fail_errno(what);
  }
}

}  // namespace

int userfaultfd_flags(UserfaultScope scope) {
  return O_CLOEXEC | O_NONBLOCK | (scope == UserfaultScope::kUserFaults ? kUserModeOnly : 0);
}

Result<Userfaultfd> Userfaultfd::open(Fd fd, uint64_t features, const char* purpose) {
  uffdio_api api{UFFD_API, features, 0};
  if (::ioctl(fd.get(), UFFDIO_API, &api) == 0) return Userfaultfd(std::move(fd));
  if (errno == EINVAL)
    return fail(Code::kUnsupported, std::string("this kernel's userfaultfd cannot ") + purpose);
  return fail_errno("set up userfaultfd");
}

bool Userfaultfd::can_track_writes() {
  static const bool can = [] {
    Fd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
    return fd.valid() && for_write_tracking(std::move(fd)).has_value();
  }();
  return can && has_pagemap_scan();
}

Result<Userfaultfd> Userfaultfd::for_write_tracking(Fd fd) {
  return open(std::move(fd), kTrackWrites, "track writes");
}

Result<Userfaultfd> Userfaultfd::for_missing_pages(Fd fd) {
  return open(std::move(fd),
              UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
                  UFFD_FEATURE_EVENT_UNMAP,
              "serve missing pages");
}

Result<void> Userfaultfd::register_range(Range range, uint64_t mode) const {
  uffdio_register request{};
  request.range = {range.start, range.size()};
  request.mode = mode;
  if (::ioctl(fd_.get(), UFFDIO_REGISTER, &request) != 0)
    return failure("register with userfaultfd");
  return {};
}

Result<void> Userfaultfd::track_writes(Range range) const {
  return register_range(range, UFFDIO_REGISTER_MODE_WP);
}

Result<void> Userfaultfd::catch_missing(Range range) const {
  return register_range(range, UFFDIO_REGISTER_MODE_MISSING);
}

Result<void> Userfaultfd::protect(Range range) const {
  uffdio_writeprotect request{};
  request.range = {range.start, range.size()};
  request.mode = UFFDIO_WRITEPROTECT_MODE_WP;
  if (::ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &request) != 0)
    return failure("write-protect with userfaultfd");
  return {};
}

Result<Userfaultfd::Put> Userfaultfd::copy(TargetAddr to, std::span<const std::byte> pages) const {
  uffdio_copy request{};
  request.dst = to.value;
  request.src = reinterpret_cast<uint64_t>(pages.data());
  request.len = pages.size();
  int result = ::ioctl(fd_.get(), UFFDIO_COPY, &request);
  return outcome_of(result, result == 0 ? static_cast<int64_t>(pages.size()) : request.copy,
                    "put pages with userfaultfd");
}

Result<Userfaultfd::Put> Userfaultfd::zero(Range range) const {
  uffdio_zeropage request{};
  request.range = {range.start, range.size()};
  int result = ::ioctl(fd_.get(), UFFDIO_ZEROPAGE, &request);
  return outcome_of(result, result == 0 ? static_cast<int64_t>(range.size()) : request.zeropage,
                    "put zero pages with userfaultfd");
}

Result<void> Userfaultfd::wake(Range range) const {
  uffdio_range request{range.start, range.size()};
  if (::ioctl(fd_.get(), UFFDIO_WAKE, &request) != 0) return failure("wake with userfaultfd");
  return {};
}

Result<std::optional<Userfaultfd::Event>> Userfaultfd::next_event() const {
  uffd_msg message{};
  ssize_t got = ::read(fd_.get(), &message, sizeof message);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::optional<Event>();
  if (got != sizeof message) return fail_errno("read userfaultfd");
  using Kind = Event::Kind;
  switch (message.event) {
    case UFFD_EVENT_PAGEFAULT: {
      uint64_t page = message.arg.pagefault.address & ~(kPageSize - 1);
      return Event{Kind::kMissing, {page, page + kPageSize}, {}, {}};
    }
    case UFFD_EVENT_FORK:
      return Event{Kind::kFork, {}, {}, Fd(static_cast<int>(message.arg.fork.ufd))};
    case UFFD_EVENT_REMAP: {
      const auto& moved = message.arg.remap;
      return Event{Kind::kMoved, {moved.from, moved.from + moved.len}, TargetAddr(moved.to), {}};
    }
    case UFFD_EVENT_REMOVE:
      return Event{Kind::kDropped, {message.arg.remove.start, message.arg.remove.end}, {}, {}};
    case UFFD_EVENT_UNMAP:
      return Event{Kind::kUnmapped, {message.arg.remove.start, message.arg.remove.end}, {}, {}};
    default: return fail(Code::kSystem, "userfaultfd reports an unknown event");
  }
}

}  // namespace martlet::sys
