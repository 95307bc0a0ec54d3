// The same work on many things, on several threads.
#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"

namespace martlet {

// Calls work(0) to work(count - 1), each once, on as many threads as there are processors, the
// caller's among them; returns when all of them have ended. The error is that of the lowest index
// that failed; what had not begun by then is left out.
Result<void> for_each_in_parallel(size_t count, const std::function<Result<void>(size_t)>& work);

}  // namespace martlet
