#include "engine/files/timer_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#include <ctime>

#include "base/log.h"
#include "engine/files/descriptions.h"
#include "engine/files/fd_info.h"

namespace martlet::engine {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr int kReadAttempts = 4;
// TFD_IOC_SET_TICKS. <linux/timerfd.h> and <sys/timerfd.h> cannot be included together.
constexpr unsigned long kSetTicks = _IOW('T', 0, uint64_t);

bool is_real_time(int clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
}

int64_t to_nanoseconds(const timespec& time) {
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

timespec to_timespec(int64_t nanoseconds) {
  return {nanoseconds / kNanosecondsPerSecond, nanoseconds % kNanosecondsPerSecond};
}

// "(seconds, nanoseconds)"
Result<int64_t> info_time(std::string_view info, std::string_view key) {
  auto field = info_field(info, key);
  if (field && field->starts_with('(')) {
    field->remove_prefix(1);
    auto seconds = take_number(*field, 10);
    if (seconds && field->starts_with(',')) {
      field->remove_prefix(1);
      if (auto rest = take_number(*field, 10))
        return static_cast<int64_t>(*seconds) * kNanosecondsPerSecond + static_cast<int64_t>(*rest);
    }
  }
  return fail(Code::kUnsupported, "fdinfo has no " + std::string(key));
}

// A periodic timer that has expired stands still until it is read or asked for its time; asking
// winds it on and counts the missed expirations. The values are then taken from one reading of
// fdinfo, which the kernel prints under the timer's lock. If it expires again in between, it shows
// as a periodic timer with no time left, and is asked again.
Result<image::TimerFile> read_timer(int fd) {
  image::TimerFile timer;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    itimerspec now{};
    if (::timerfd_gettime(fd, &now) != 0) return fail_errno("read a timerfd");
    std::string info = TRY(read_file("/proc/self/fdinfo/" + std::to_string(fd)));
    timer.set_clock(static_cast<int32_t>(TRY(info_number(info, "clockid", 10))));
    timer.set_ticks(TRY(info_number(info, "ticks", 10)));
    timer.set_settime_flags(static_cast<int32_t>(TRY(info_number(info, "settime flags", 8))));
    timer.set_value_ns(TRY(info_time(info, "it_value")));
    timer.set_interval_ns(TRY(info_time(info, "it_interval")));
    if (timer.value_ns() > 0 || timer.interval_ns() == 0) return timer;
  }
  timer.set_value_ns(1);  // the interval is shorter than a reading takes: always about to expire
  return timer;
}

Result<void> check(const image::TimerFile& timer) {
  constexpr int kKnownFlags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
  if (timer.value_ns() < 0 || timer.interval_ns() < 0 || timer.deadline_ns() < 0 ||
      (timer.settime_flags() & ~kKnownFlags) != 0)
    return fail(Code::kBadImage, "value of a timerfd is out of range");
  return {};
}

Result<void> arm(int fd, const image::TimerFile& timer) {
  bool absolute = timer.deadline_ns() > 0;
  itimerspec value{to_timespec(timer.interval_ns()),
                   to_timespec(absolute ? timer.deadline_ns() : timer.value_ns())};
  if (::timerfd_settime(fd, absolute ? timer.settime_flags() : 0, &value, nullptr) != 0)
    return fail_errno("arm a timerfd");
  uint64_t ticks = timer.ticks();  // arming clears them
  if (ticks > 0 && ::ioctl(fd, kSetTicks, &ticks) != 0)
    return fail_errno("set the expirations of a timerfd");
  return {};
}

class TimerKind final : public FileKind {
 public:
  std::string_view name() const override { return "timerfd"; }

  bool recognises(const OpenFile& file) const override {
    return file.link == "anon_inode:[timerfd]";
  }

  Result<void> capture(CaptureContext&, const OpenFile& file, image::File& out) const override {
    image::TimerFile timer = TRY(read_timer(file.fd));
    if (timer.value_ns() > 0 && (timer.settime_flags() & TFD_TIMER_ABSTIME) != 0 &&
        is_real_time(timer.clock())) {
      timespec now{};
      ::clock_gettime(CLOCK_REALTIME, &now);
      timer.set_deadline_ns(to_nanoseconds(now) + timer.value_ns());
    }
    *out.mutable_timer() = timer;
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_timer(); }

  // Armed once here, so that what the kernel refuses is found out while the restore can still fail.
  Result<Fd> create(ApplyContext&, const image::File& file) const override {
    TRY(check(file.timer()));
    Fd fd(::timerfd_create(file.timer().clock(), TFD_CLOEXEC));
    if (!fd.valid())
      return fail_errno(fmt::format("create a timerfd of clock {}", file.timer().clock()));
    TRY(arm(fd.get(), file.timer()));
    TRY(set_status_flags(fd.get(), static_cast<int>(file.flags())));
    return fd;
  }

  // The time that the restore took does not count.
  void go_live(ApplyContext&, const image::File& file, int fd) const override {
    if (auto armed = arm(fd, file.timer()); !armed)
      spdlog::error("file {}: {}", file.id(), armed.error().to_string());
  }
};

}  // namespace

const FileKind& timer_kind() {
  static const TimerKind kind;
  return kind;
}

}  // namespace martlet::engine
