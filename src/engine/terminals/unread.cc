#include "engine/terminals/unread.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fd.h"
#include "sys/outliving.h"
#include "sys/pseudo_terminal.h"

namespace martlet::engine {
namespace {

constexpr size_t kMaxInput = 4000;  // the kernel holds 4095 bytes that the slave can read
constexpr size_t kMaxOutput = 128u << 10;
constexpr int kRoomDeadlineMs = 1000;
constexpr cc_t kDisabled = 0;

// Gives a terminal other settings for as long as it lives.
class OtherSettings {
 public:
  OtherSettings(int fd, const termios2& before) : fd_(fd), before_(before) {}
  OtherSettings(const OtherSettings&) = delete;
  OtherSettings& operator=(const OtherSettings&) = delete;
  ~OtherSettings() { std::ignore = sys::set_terminal_settings(fd_, before_); }
  Result<void> set(const termios2& settings) { return sys::set_terminal_settings(fd_, settings); }

 private:
  int fd_;
  termios2 before_;
};

// Flow control stays as it is in packet mode, where the master is told of every change to it.
tcflag_t kept_input_flags(const termios2& settings, bool packets) {
  return packets ? settings.c_iflag & IXON : 0;
}

// Every byte goes through as it is, and can be read at once.
termios2 plain(termios2 settings, bool packets) {
  settings.c_iflag = kept_input_flags(settings, packets);
  settings.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  settings.c_lflag &= EXTPROC;
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  return settings;
}

// Bytes go through as they are, and lines end where they end under `settings`; `end_of_file` is the
// byte that stands for the end of file.
termios2 quiet(const termios2& settings, bool packets, cc_t end_of_file) {
  termios2 now = settings;
  now.c_iflag = kept_input_flags(settings, packets);
  now.c_lflag &= ICANON | IEXTEN | EXTPROC;
  for (int which : {VINTR, VQUIT, VERASE, VKILL, VSUSP, VREPRINT, VDISCARD, VWERASE, VLNEXT})
    now.c_cc[which] = kDisabled;
  if ((settings.c_lflag & ICANON) != 0) now.c_cc[VEOF] = end_of_file;
  return now;
}

bool is_ready(int fd, short events, int wait_ms = 0) {
  pollfd state{fd, events, 0};
  return ::poll(&state, 1, wait_ms) == 1 && (state.revents & events) != 0;
}

Result<void> write_in_pieces(int fd, std::string_view data) {
  constexpr size_t kPiece = 256;
  while (!data.empty()) {
    if (!is_ready(fd, POLLOUT, kRoomDeadlineMs))
      return fail(Code::kSystem, "a terminal does not take its unread data back");
    ssize_t count = ::write(fd, data.data(), std::min(data.size(), kPiece));
    if (count < 0 && errno != EAGAIN) return fail_errno("write to a terminal");
    data.remove_prefix(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  }
  return {};
}

// In packet mode every read begins with a byte that tells what follows: 0 for data.
Result<std::string> read_all(int fd, bool packets) {
  std::string data;
  std::array<char, 4096> piece{};
  while (data.size() < kMaxOutput && is_ready(fd, POLLIN)) {
    ssize_t count = ::read(fd, piece.data(), piece.size());
    if (count < 0 && (errno == EAGAIN || errno == EIO)) break;  // EIO: the other end is closed
    if (count < 0) return fail_errno("read from a terminal");
    if (count == 0) break;
    std::string_view got(piece.data(), static_cast<size_t>(count));
    data += packets ? got.substr(1) : got;
  }
  return data;
}

cc_t byte_not_in(std::string_view data, const termios2& settings) {
  for (int byte = 255; byte > 0; --byte) {
    auto candidate = static_cast<cc_t>(byte);
    if (data.find(static_cast<char>(byte)) == std::string_view::npos &&
        std::ranges::find(settings.c_cc, candidate) == std::end(settings.c_cc))
      return candidate;
  }
  return settings.c_cc[VEOF];
}

Result<void> put_input_under(const TerminalEnds& ends, const termios2& settings, OtherSettings& now,
                             std::string_view data) {
  std::string written(data);
  cc_t end_of_file = byte_not_in(data, settings);
  if ((settings.c_lflag & ICANON) != 0)
    std::ranges::replace(written, '\0', static_cast<char>(end_of_file));
  TRY(now.set(quiet(settings, ends.packets, end_of_file)));
  TRY(write_in_pieces(ends.master, written));
  is_ready(ends.slave, POLLIN);  // looking makes the kernel take in what was written
  return {};
}

std::unexpected<Error> too_much_input() {
  return fail(Code::kUnsupported, "a terminal has too much unread input");
}

Result<std::string> read_and_put_back_input(const TerminalEnds& ends, const termios2& settings) {
  OtherSettings now(ends.slave, settings);
  TRY(now.set(plain(settings, ends.packets)));
  auto data = TRY(read_all(ends.slave, /*packets=*/false));
  if (!data.empty()) TRY(put_input_under(ends, settings, now, data));
  if (data.size() > kMaxInput) return too_much_input();  // some was still on its way before
  return data;
}

Result<std::string> read_and_put_back_output(const TerminalEnds& ends) {
  auto data = TRY(read_all(ends.master, ends.packets));
  if (data.empty() || is_ready(ends.slave, POLLOUT)) {
    TRY(put_output(ends, data));
    return data;
  }
  if (::ioctl(ends.slave, TCXONC, TCOON) != 0) return fail_errno("start a terminal");
  auto put = put_output(ends, data);
  TRY(stop_output(ends));
  TRY(std::move(put));
  return fail(Code::kUnsupported, "a terminal is stopped and has unread data");
}

}  // namespace

Result<std::string> peek_output(const TerminalEnds& ends) {
  if (!is_ready(ends.master, POLLIN)) return std::string();
  if (ends.packets && is_ready(ends.master, POLLPRI))
    return fail(Code::kUnsupported, "a terminal in packet mode has an unread status");
  return sys::run_outliving(std::array{ends.master, ends.slave},
                            [&] { return read_and_put_back_output(ends); });
}

Result<void> put_output(const TerminalEnds& ends, std::string_view data) {
  if (data.empty()) return {};
  termios2 settings = TRY(sys::terminal_settings(ends.slave));
  OtherSettings now(ends.slave, settings);
  termios2 unchanged = settings;
  unchanged.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  TRY(now.set(unchanged));
  return write_in_pieces(ends.slave, data);
}

// An unfinished line cannot be seen while lines are collected.
Result<std::string> peek_input(const TerminalEnds& ends) {
  termios2 settings = TRY(sys::terminal_settings(ends.slave));
  bool lines = (settings.c_lflag & ICANON) != 0;
  if (!lines && TRY(sys::unread_bytes(ends.slave)) == 0) return std::string();
  if (TRY(sys::unread_bytes(ends.slave)) > kMaxInput) return too_much_input();
  return sys::run_outliving(std::array{ends.master, ends.slave},
                            [&] { return read_and_put_back_input(ends, settings); });
}

Result<void> put_input(const TerminalEnds& ends, std::string_view data) {
  if (data.empty()) return {};
  if (data.size() > 2 * kMaxInput) return fail(Code::kBadImage, "input of a terminal");
  termios2 settings = TRY(sys::terminal_settings(ends.slave));
  OtherSettings now(ends.slave, settings);
  return put_input_under(ends, settings, now, data);
}

bool is_stopped(const TerminalEnds& ends) {
  return !is_ready(ends.slave, POLLOUT);
}

Result<void> stop_output(const TerminalEnds& ends) {
  if (::ioctl(ends.slave, TCXONC, TCOOFF) != 0) return fail_errno("stop a terminal");
  return {};
}

}  // namespace martlet::engine
