// The files of a cgroup by which it is set, as values that can be compared and written again.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/cgroups.pb.h"

namespace martlet::engine {

// Whether the file sets something that is not carried in another way; statistics and lists of tasks
// do not. `mode` is the file's.
bool is_knob(std::string_view file, mode_t mode);

// Nothing if this kernel does not tell it.
std::optional<std::string> read_knob(const std::string& directory, const std::string& file);

// Devices have other numbers on another host.
bool is_set_for_a_device(const std::string& value);

// Writes it where the cgroup says something else.
Result<void> write_knob(const std::string& directory, const image::CgroupKnob& knob);

}  // namespace martlet::engine
