#include "sys/pseudo_terminal.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>

namespace martlet::sys {
namespace {

constexpr unsigned kFirstSlaveMajor = 136;
constexpr unsigned kLastSlaveMajor = 143;

template <typename Value>
Result<Value> ask(int fd, unsigned long request, const char* what) {
  Value value{};
  if (::ioctl(fd, request, &value) != 0) return fail_errno(what);
  return value;
}

template <typename Value>
Result<void> tell(int fd, unsigned long request, const Value& value, const char* what) {
  if (::ioctl(fd, request, &value) != 0) return fail_errno(what);
  return {};
}

HostPid asked_pid(int fd, unsigned long request) {
  pid_t pid = 0;
  return HostPid(::ioctl(fd, request, &pid) == 0 ? pid : 0);
}

}  // namespace

Result<uint32_t> terminal_index(int master) {
  return ask<uint32_t>(master, TIOCGPTN, "number of a terminal");
}

std::optional<uint32_t> slave_index(int slave) {
  unsigned device = 0;
  if (::ioctl(slave, TIOCGDEV, &device) != 0) return std::nullopt;
  // As the kernel packs it: 12 bits of the major number in the middle of 20 of the minor.
  return slave_index_of_device(
      ::makedev((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00)));
}

std::optional<uint32_t> slave_index_of_device(uint64_t device) {
  unsigned major = ::major(device);
  if (major < kFirstSlaveMajor || major > kLastSlaveMajor) return std::nullopt;
  return (major - kFirstSlaveMajor) * 256 + ::minor(device);
}

Result<Fd> open_slave(int master, int flags) {
  int fd = ::ioctl(master, TIOCGPTPEER, flags | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return fail_errno("open the slave of a terminal");
  return Fd(fd);
}

Result<termios2> terminal_settings(int fd) {
  return ask<termios2>(fd, TCGETS2, "settings of a terminal");
}
Result<void> set_terminal_settings(int fd, const termios2& settings) {
  return tell(fd, TCSETS2, settings, "set the settings of a terminal");
}

Result<winsize> terminal_size(int fd) {
  return ask<winsize>(fd, TIOCGWINSZ, "size of a terminal");
}
Result<void> set_terminal_size(int fd, const winsize& size) {
  return tell(fd, TIOCSWINSZ, size, "set the size of a terminal");
}

Result<bool> is_locked(int master) {
  return TRY(ask<int>(master, TIOCGPTLCK, "lock of a terminal")) != 0;
}
Result<void> set_locked(int master, bool locked) {
  return tell(master, TIOCSPTLCK, int{locked}, "lock a terminal");
}

Result<bool> is_in_packet_mode(int master) {
  return TRY(ask<int>(master, TIOCGPKT, "packet mode of a terminal")) != 0;
}
Result<void> set_packet_mode(int master, bool packets) {
  return tell(master, TIOCPKT, int{packets}, "set the packet mode of a terminal");
}

Result<bool> is_exclusive(int fd) {
  return TRY(ask<int>(fd, TIOCGEXCL, "exclusive mode of a terminal")) != 0;
}
Result<void> set_exclusive(int fd) {
  if (::ioctl(fd, TIOCEXCL) != 0) return fail_errno("set the exclusive mode of a terminal");
  return {};
}

Result<int> line_discipline(int fd) {
  return ask<int>(fd, TIOCGETD, "line discipline of a terminal");
}

HostPid terminal_session(int master) {
  return asked_pid(master, TIOCGSID);
}
HostPid foreground_group(int master) {
  return asked_pid(master, TIOCGPGRP);
}

Result<size_t> unread_bytes(int fd) {
  return static_cast<size_t>(TRY(ask<int>(fd, FIONREAD, "unread data of a terminal")));
}

}  // namespace martlet::sys
