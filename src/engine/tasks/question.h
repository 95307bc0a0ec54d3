// The pattern by which state that only a task itself can tell is captured.
//
// A capture function appends its system calls to a program and returns an Answer, which is called
// after the program has run and writes what the kernel said into the image. So any number of
// questions cost one round trip into the task.
#pragma once

#include <functional>

#include "base/result.h"
#include "engine/program.h"

namespace martlet::engine {

using Answer = std::function<Result<void>(const Program&)>;

}  // namespace martlet::engine
