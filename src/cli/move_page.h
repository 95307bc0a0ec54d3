// One move as a page for a browser: a time line of its stages and rounds, the pause, the rates, and
// what was foretold. One file without anything from elsewhere; light or dark as the reader's
// browser is.
#pragma once

#include <string>

#include "agent/api.pb.h"

namespace martlet::cli {

std::string move_page(const agent::MoveRecord& move);

}  // namespace martlet::cli
