// Logging for daemons and the engine: one line per event on standard error, through spdlog.
// The command line prints its results itself and logs only warnings.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace martlet {

// Sets the level ("debug", "info", "warn", "error") and the line format of the process.
void init_logging(std::string_view level);

}  // namespace martlet
