// Pseudo-terminals as open files: masters, slaves, and /dev/tty.
#pragma once

#include <optional>
#include <string>

#include "engine/context.h"
#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& terminal_master_kind();
const FileKind& terminal_slave_kind();

bool is_terminal_master(const OpenFile& file);
// The path of a master's other end, which names the terminal in an image.
Result<std::string> slave_path(const OpenFile& master);

// The master of the terminal, which is made now if it is not there yet. Its slave is unlocked until
// the files go live.
Result<int> terminal_master(ApplyContext& context, const std::string& terminal);

}  // namespace martlet::engine
