// Pseudo-terminals: the two ends and their settings. Settings asked for or made at the master are
// those of the slave.
#pragma once

#include <asm/termbits.h>
#include <sys/ioctl.h>

#include <optional>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

// The number N of /dev/pts/N, of a master.
Result<uint32_t> terminal_index(int master);
// The number of the terminal behind a slave or /dev/tty; not set if it is hung up, or no
// pseudo-terminal.
std::optional<uint32_t> slave_index(int slave);
// The same of a device number.
std::optional<uint32_t> slave_index_of_device(uint64_t device);

// A new description of the slave, without becoming anybody's controlling terminal.
// Errors: kSystem (EIO) while it is locked.
Result<Fd> open_slave(int master, int flags);

Result<termios2> terminal_settings(int fd);
Result<void> set_terminal_settings(int fd, const termios2& settings);
Result<winsize> terminal_size(int fd);
Result<void> set_terminal_size(int fd, const winsize& size);

// Of a master.
Result<bool> is_locked(int master);
Result<void> set_locked(int master, bool locked);
Result<bool> is_in_packet_mode(int master);
Result<void> set_packet_mode(int master, bool packets);
// Of either end for itself.
Result<bool> is_exclusive(int fd);
Result<void> set_exclusive(int fd);
Result<int> line_discipline(int fd);

// Session and foreground process group, asked for at the master; zero: none.
HostPid terminal_session(int master);
HostPid foreground_group(int master);

// Bytes that a read of this end would get.
Result<size_t> unread_bytes(int fd);

}  // namespace martlet::sys
