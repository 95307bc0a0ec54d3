// What an agent tells about its host.
#pragma once

#include "agent/agent_config.h"
#include "agent/api.pb.h"
#include "base/result.h"

namespace martlet::agent {

inline constexpr const char* kVersion = MARTLET_VERSION;

// `peer_address` is where its peers reach it; empty if they do not.
Result<HostInfo> gather_host_info(const AgentConfig& config, const std::string& peer_address);

}  // namespace martlet::agent
