// Limits on memory: resident set, data, address space and stack, soft and hard; the ones that the
// kernel enforces still do.
#include <sys/resource.h>

#include "workload.h"

enum { kMega = 1 << 20 };

static void limited(void* argument) {
  (void)argument;
  struct rlimit resident = {64 * kMega, 128 * kMega};
  struct rlimit space = {256 * kMega, 512 * kMega};
  struct rlimit stack = {2 * kMega, 4 * kMega};
  CHECK_SYS(setrlimit(RLIMIT_RSS, &resident));
  CHECK_SYS(setrlimit(RLIMIT_AS, &space));
  CHECK_SYS(setrlimit(RLIMIT_STACK, &stack));
  wait_for_go();
  struct rlimit found;
  CHECK_SYS(getrlimit(RLIMIT_RSS, &found));
  CHECK_EQ(found.rlim_cur, resident.rlim_cur);
  CHECK_EQ(found.rlim_max, resident.rlim_max);
  CHECK_SYS(getrlimit(RLIMIT_AS, &found));
  CHECK_EQ(found.rlim_cur, space.rlim_cur);
  CHECK_EQ(found.rlim_max, space.rlim_max);
  CHECK_SYS(getrlimit(RLIMIT_STACK, &found));
  CHECK_EQ(found.rlim_cur, stack.rlim_cur);
  CHECK(mmap(NULL, 256 * kMega, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  CHECK_EQ(errno, ENOMEM);
  found = (struct rlimit){512 * kMega, 512 * kMega};
  CHECK_SYS(setrlimit(RLIMIT_AS, &found));
  map_memory(256 * kMega, PROT_NONE, MAP_PRIVATE);
}

int main(void) {
  pid_t child = spawn(limited, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
