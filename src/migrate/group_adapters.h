// FrozenContainer and RestoredContainer over the engine's groups, for a Host's implementation.
#pragma once

#include <memory>
#include <string>

#include "migrate/host.h"

namespace martlet::migrate {

Result<std::unique_ptr<FrozenContainer>> freeze_group(const checkpoint::GroupSpec& spec);

// `freezer_cgroup` is the absolute directory of the cgroup that the sandbox is in.
Result<std::unique_ptr<RestoredContainer>> restore_group(image::Source& source,
                                                         checkpoint::Sandbox sandbox,
                                                         std::string freezer_cgroup,
                                                         checkpoint::MemoryScope scope);

// Thaws a cgroup with the deadline that the two above use.
Result<void> thaw_group(const std::string& freezer_cgroup);

}  // namespace martlet::migrate
