// Data on its way through a pseudo-terminal.
//
// The kernel shows it to nobody but a reader, so looking is reading and putting back at once, under
// settings that change nothing on the way. Nobody sees that, for the group is frozen.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace martlet::engine {

struct TerminalEnds {
  int master;
  int slave;  // a description of the caller's own, O_NONBLOCK
  bool packets;
};

// What the slave has written and the master has not read. Errors: kUnsupported if the terminal is
// stopped with data in it.
Result<std::string> peek_output(const TerminalEnds& ends);
Result<void> put_output(const TerminalEnds& ends, std::string_view data);

// What the master has written and the slave has not read, an unfinished line included. The end of
// file (^D) is a byte of zero in it if the terminal collects lines.
// Errors: kUnsupported for more than can be put back for sure.
Result<std::string> peek_input(const TerminalEnds& ends);
Result<void> put_input(const TerminalEnds& ends, std::string_view data);

// Whether output is stopped (^S, or tcflow) while none is unread.
bool is_stopped(const TerminalEnds& ends);
Result<void> stop_output(const TerminalEnds& ends);

}  // namespace martlet::engine
