#include "sys/thread_priority.h"

#include <sys/resource.h>

namespace martlet::sys {

// On Linux a niceness is a thread's, and 0 names the calling one.
void set_niceness(int niceness) {
  (void)::setpriority(PRIO_PROCESS, 0, niceness);
}

}  // namespace martlet::sys
