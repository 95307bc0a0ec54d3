#include "engine/terminals/terminal_kinds.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/log.h"
#include "engine/files/descriptions.h"
#include "engine/files/path_file.h"
#include "engine/files/path_kind.h"
#include "engine/files/paths.h"
#include "engine/terminals/unread.h"
#include "sys/pseudo_terminal.h"

namespace martlet::engine {
namespace {

constexpr int kMaxTerminals = 4096;  // kernel.pty.max
constexpr unsigned kAuxiliaryMajor = 5;
constexpr unsigned kTtyMinor = 0, kMasterMinor = 2;  // /dev/tty and /dev/ptmx
constexpr int kUsualDiscipline = 0;                  // N_TTY

bool is_auxiliary_device(const struct stat& status, unsigned minor) {
  return S_ISCHR(status.st_mode) && status.st_rdev == ::makedev(kAuxiliaryMajor, minor);
}
bool is_slave(const OpenFile& file) {
  return S_ISCHR(file.status.st_mode) && !(file.flags & O_PATH) &&
         sys::slave_index_of_device(file.status.st_rdev);
}
bool is_dev_tty(const OpenFile& file) {
  return !(file.flags & O_PATH) && is_auxiliary_device(file.status, kTtyMinor);
}

bool is_hung_up(const OpenFile& slave) {
  return is_slave(slave) && !sys::slave_index(slave.fd);
}

// Whether the slave was open once and is closed now, or the master of a slave is.
bool hangs(int fd) {
  pollfd state{fd, 0, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
}

// The terminal behind a slave or /dev/tty, if its master is in the group.
Result<std::optional<std::string>> find_terminal(CaptureContext& context, const OpenFile& file) {
  auto index = sys::slave_index(file.fd);
  std::vector<std::string> found;
  for (const OpenFile& other : context.files()) {
    if (!is_terminal_master(other) || !index || TRY(sys::terminal_index(other.fd)) != *index)
      continue;
    std::string path = TRY(slave_path(other));
    if (is_dev_tty(file) || path == file.link) found.push_back(std::move(path));
  }
  if (found.size() > 1)
    return fail(Code::kUnsupported, fmt::format("there are several terminals {}", *index));
  if (found.empty()) return std::optional<std::string>();
  return std::optional(std::move(found.front()));
}

Result<void> capture_owner(CaptureContext& context, image::TerminalMaster& out) {
  auto slave = TRY(open_below_root(context.root(), out.terminal(), O_PATH | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(slave.get(), &status) != 0) return fail_errno("stat " + out.terminal());
  if (sys::slave_index_of_device(status.st_rdev) != out.index())
    return fail(Code::kUnsupported, out.terminal() + " is not its other end");
  out.set_uid(status.st_uid);
  out.set_gid(status.st_gid);
  out.set_mode(status.st_mode & 07777);
  return {};
}

Result<void> capture_settings(int master, image::TerminalMaster& out) {
  if (TRY(sys::line_discipline(master)) != kUsualDiscipline)
    return fail(Code::kUnsupported, "it has a line discipline of its own");
  termios2 settings = TRY(sys::terminal_settings(master));
  out.set_settings(std::string(reinterpret_cast<const char*>(&settings), sizeof settings));
  winsize size = TRY(sys::terminal_size(master));
  out.set_size(std::string(reinterpret_cast<const char*>(&size), sizeof size));
  out.set_packets(TRY(sys::is_in_packet_mode(master)));
  out.set_locked(TRY(sys::is_locked(master)));
  out.set_exclusive(TRY(sys::is_exclusive(master)));
  return {};
}

// The slave is opened only if it was open before, since that leaves a trace, and a locked one only
// unlocked.
Result<void> capture_data(int master, image::TerminalMaster& out) {
  if (!out.slave_was_open()) return {};
  if (out.locked()) TRY(sys::set_locked(master, false));
  auto slave = sys::open_slave(master, O_RDWR | O_NONBLOCK);
  if (out.locked()) TRY(sys::set_locked(master, true));
  if (!slave) return std::unexpected(std::move(slave.error()));
  TerminalEnds ends{master, slave->get(), out.packets()};
  out.set_slave_exclusive(TRY(sys::is_exclusive(slave->get())));
  out.set_output(TRY(peek_output(ends)));
  out.set_stopped(out.output().empty() && is_stopped(ends));
  out.set_input(TRY(peek_input(ends)));
  return {};
}

Result<bool> is_slave_in_group(CaptureContext& context, const std::string& terminal) {
  for (const OpenFile& file : context.files()) {
    if (!is_slave(file) && !is_dev_tty(file)) continue;
    if (TRY(find_terminal(context, file)) == terminal) return true;
  }
  return false;
}

// The lowest free number is given out, so the numbers below are taken for the moment.
Result<Fd> make_master(ApplyContext& context, const image::RegularFile& ptmx, uint32_t index,
                       int flags) {
  std::vector<Fd> below;
  while (below.size() < kMaxTerminals) {
    Fd master = TRY(open_path_file(context, ptmx, flags));
    uint32_t got = TRY(sys::terminal_index(master.get()));
    if (got == index) return master;
    if (got > index) break;
    below.push_back(std::move(master));
  }
  return std::unexpected(
      Error(Code::kAlreadyExists, fmt::format("terminal {} is in use", index))
          .with_remedy("close it, or restore in a container with terminals of its own"));
}

std::string stash_key(uint32_t file) {
  return fmt::format("terminal of file {}", file);
}

template <typename Value>
Result<Value> value_of(const std::string& bytes) {
  Value value;
  if (bytes.size() != sizeof value) return fail(Code::kBadImage, "settings of a terminal");
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Result<void> set_owner(ApplyContext& context, const image::TerminalMaster& wanted) {
  Fd slave = TRY(context.open_in_root(wanted.terminal(), O_PATH | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(slave.get(), &status) != 0) return fail_errno("stat " + wanted.terminal());
  if (!S_ISCHR(status.st_mode) || sys::slave_index_of_device(status.st_rdev) != wanted.index())
    return fail(Code::kUnsupported, wanted.terminal() + " is something else here");
  if (::fchownat(slave.get(), "", wanted.uid(), wanted.gid(), AT_EMPTY_PATH) != 0 ||
      ::chmod(fmt::format("/proc/self/fd/{}", slave.get()).c_str(), wanted.mode() & 07777) != 0)
    return fail_errno("set the owner of " + wanted.terminal());
  return {};
}

Result<Fd> make_terminal(ApplyContext& context, const image::File& file) {
  const image::TerminalMaster& wanted = file.terminal_master();
  Fd master =
      TRY(make_master(context, wanted.ptmx(), wanted.index(), static_cast<int>(file.flags())));
  TRY(set_owner(context, wanted));
  TRY(sys::set_locked(master.get(), false));
  TRY(sys::set_terminal_settings(master.get(), TRY(value_of<termios2>(wanted.settings()))));
  TRY(sys::set_terminal_size(master.get(), TRY(value_of<winsize>(wanted.size()))));
  return master;
}

class TerminalMasterKind final : public FileKind {
 public:
  std::string_view name() const override { return "terminal master"; }

  bool recognises(const OpenFile& file) const override { return is_terminal_master(file); }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    image::TerminalMaster& master = *out.mutable_terminal_master();
    *master.mutable_ptmx() = TRY(capture_path_file(context, file));
    master.set_index(TRY(sys::terminal_index(file.fd)));
    master.set_terminal(TRY(slave_path(file)));
    TRY(capture_owner(context, master));
    TRY(capture_settings(file.fd, master));
    bool in_group = TRY(is_slave_in_group(context, master.terminal()));
    master.set_slave_was_open(in_group || hangs(file.fd));
    return capture_data(file.fd, master);
  }

  bool owns(const image::File& file) const override { return file.has_terminal_master(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    if (auto made = context.take_stashed(stash_key(file.id()))) return std::move(*made);
    return make_terminal(context, file);
  }

  // Closing the slave again has the master told so, unless others have it open.
  Result<void> complete(ApplyContext&, const image::File& file, int fd) const override {
    const image::TerminalMaster& wanted = file.terminal_master();
    if (wanted.slave_was_open()) {
      Fd slave = TRY(sys::open_slave(fd, O_RDWR | O_NONBLOCK));
      TerminalEnds ends{fd, slave.get(), /*packets=*/false};
      TRY(put_output(ends, wanted.output()));
      TRY(put_input(ends, wanted.input()));
      if (wanted.stopped()) TRY(stop_output(ends));
      if (wanted.slave_exclusive()) TRY(sys::set_exclusive(slave.get()));
    }
    if (wanted.exclusive()) TRY(sys::set_exclusive(fd));
    if (wanted.packets()) TRY(sys::set_packet_mode(fd, true));
    return {};
  }

  void go_live(ApplyContext&, const image::File& file, int fd) const override {
    if (!file.terminal_master().locked()) return;
    if (auto locked = sys::set_locked(fd, true); !locked)
      spdlog::error("{}: {}", file.terminal_master().terminal(), locked.error().to_string());
  }
};

class TerminalSlaveKind final : public FileKind {
 public:
  std::string_view name() const override { return "terminal"; }

  bool recognises(const OpenFile& file) const override {
    return is_slave(file) || is_dev_tty(file);
  }

  // A slave whose master is elsewhere is opened again by its path, and what is in it is there.
  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    image::TerminalSlave& slave = *out.mutable_terminal_slave();
    if (is_hung_up(file)) {
      slave.set_hung_up(true);
      slave.set_terminal(file.link);
      return {};
    }
    auto terminal = TRY(find_terminal(context, file));
    if (!terminal && is_dev_tty(file))
      return fail(Code::kUnsupported, "the terminal's master is outside of the group");
    if (!terminal) return path_kind().capture(context, file, out);
    slave.set_terminal(*terminal);
    *slave.mutable_file() = TRY(capture_path_file(context, file));
    slave.set_through_dev_tty(is_dev_tty(file));
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_terminal_slave(); }

  // What was opened as /dev/tty is opened by its own path for now; see take_terminal().
  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    const image::TerminalSlave& slave = file.terminal_slave();
    auto flags = static_cast<int>(file.flags());
    if (slave.hung_up()) return make_hung_up(context, slave.terminal(), flags);
    int master = TRY(terminal_master(context, slave.terminal()));
    if (slave.through_dev_tty()) return sys::open_slave(master, flags & ~O_PATH);
    return open_path_file(context, slave.file(), flags);
  }

 private:
  // Its number is any: it has no name any more.
  static Result<Fd> make_hung_up(ApplyContext& context, const std::string& terminal, int flags) {
    std::string directory = std::filesystem::path(terminal).parent_path().string();
    Fd ptmx = TRY(context.open_in_root(directory + "/ptmx", O_PATH | O_NOFOLLOW));
    struct stat status{};
    if (::fstat(ptmx.get(), &status) != 0) return fail_errno("stat ptmx");
    if (!is_auxiliary_device(status, kMasterMinor))
      return fail(Code::kUnsupported, "there are no terminals in " + directory);
    Fd master = TRY(reopen(ptmx.get(), O_RDWR | O_NOCTTY));
    TRY(sys::set_locked(master.get(), false));
    return sys::open_slave(master.get(), flags & (O_ACCMODE | kStatusFlags));
  }
};

}  // namespace

bool is_terminal_master(const OpenFile& file) {
  return !(file.flags & O_PATH) && is_auxiliary_device(file.status, kMasterMinor);
}

// Beside a master's node, or in the directory of that name beside it.
Result<std::string> slave_path(const OpenFile& master) {
  std::filesystem::path directory = std::filesystem::path(master.link).parent_path();
  if (directory.filename() != "pts") directory /= "pts";
  return (directory / std::to_string(TRY(sys::terminal_index(master.fd)))).string();
}

Result<int> terminal_master(ApplyContext& context, const std::string& terminal) {
  for (const auto& [id, file] : context.files()) {
    if (!file.has_terminal_master() || file.terminal_master().terminal() != terminal) continue;
    if (int made = context.description(id); made >= 0) return made;
    auto stashed = context.take_stashed(stash_key(id));
    Fd master = stashed ? std::move(*stashed) : TRY(make_terminal(context, file));
    int number = master.get();
    context.stash(stash_key(id), std::move(master));
    return number;
  }
  return fail(Code::kBadImage, "terminal " + terminal + " has no master");
}

const FileKind& terminal_master_kind() {
  static const TerminalMasterKind kind;
  return kind;
}

const FileKind& terminal_slave_kind() {
  static const TerminalSlaveKind kind;
  return kind;
}

}  // namespace martlet::engine
