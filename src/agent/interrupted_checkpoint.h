// What an agent does first for a container that an earlier one may have been checkpointing when it
// died.
#pragma once

#include <string>

#include "agent/container_manager.h"

namespace martlet::agent {

// The container, which runs and is not being migrated, goes on as if there had been no checkpoint.
Result<void> go_on_after_checkpoint(ContainerManager& manager, const std::string& name);

}  // namespace martlet::agent
