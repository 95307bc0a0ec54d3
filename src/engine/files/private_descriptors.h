// A place where descriptor numbers can be chosen freely.
#pragma once

#include <functional>

#include "base/result.h"

namespace martlet::engine {

// Runs `work` on a thread that has a copy of this process's descriptor table to itself, and waits
// for it. Whatever it opens, moves or closes is undone for everybody else, while the descriptions
// behind are the same.
Result<void> with_private_descriptors(const std::function<Result<void>()>& work);

}  // namespace martlet::engine
