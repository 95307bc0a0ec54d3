// The capabilities this process can give to others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace martlet::sys {

// Names ("CAP_CHOWN", ...) of the capabilities that are both in the bounding and the permitted set.
Result<std::vector<std::string>> own_capabilities();

}  // namespace martlet::sys
