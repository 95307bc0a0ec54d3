#include "engine/files/private_descriptors.h"

#include <sched.h>

#include <thread>

namespace martlet::engine {

Result<void> with_private_descriptors(const std::function<Result<void>()>& work) {
  Result<void> result;
  std::thread thread([&] {
    if (::unshare(CLONE_FILES) != 0)
      result = fail_errno("copy the descriptor table");
    else
      result = work();
  });
  thread.join();
  return result;
}

}  // namespace martlet::engine
