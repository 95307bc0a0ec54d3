// The agent as a whole: owns its parts and serves until it is told to stop.
#pragma once

#include "agent/agent_config.h"
#include "base/result.h"

namespace martlet::agent {

// Runs the agent in the calling process until SIGTERM or SIGINT; containers go on running. Must be
// called while the process has one thread, because it blocks these signals for all.
Result<void> run_daemon(const AgentConfig& config);

}  // namespace martlet::agent
