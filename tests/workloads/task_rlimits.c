// Resource limits: their values in two processes, and that they are enforced.
#include <sys/resource.h>

#include "workload.h"

static void observe(struct rlimit* limits) {
  for (int i = 0; i < RLIM_NLIMITS; i++) CHECK_SYS(getrlimit(i, &limits[i]));
}

static void hold(void) {
  struct rlimit was[RLIM_NLIMITS];
  struct rlimit now[RLIM_NLIMITS];
  observe(was);
  wait_for_go();
  observe(now);
  for (int i = 0; i < RLIM_NLIMITS; i++) {
    CHECK_EQ(now[i].rlim_cur, was[i].rlim_cur);
    CHECK_EQ(now[i].rlim_max, was[i].rlim_max);
  }
}

static void limited(void* argument) {
  (void)argument;
  struct rlimit files = {40, 80};
  struct rlimit stack = {1 << 20, 4 << 20};
  struct rlimit core = {0, 0};
  struct rlimit data = {64 << 20, 128 << 20};
  CHECK_SYS(setrlimit(RLIMIT_NOFILE, &files));
  CHECK_SYS(setrlimit(RLIMIT_STACK, &stack));
  CHECK_SYS(setrlimit(RLIMIT_CORE, &core));
  CHECK_SYS(setrlimit(RLIMIT_DATA, &data));
  hold();
  CHECK_ERRNO(dup2(0, 40), EBADF);
  CHECK_EQ(CHECK_SYS(dup2(0, 39)), 39);
  void* memory = mmap(NULL, 96 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK_ERRNO((intptr_t)memory, ENOMEM);
}

static void plain(void* argument) {
  (void)argument;
  hold();
}

int main(void) {
  pid_t first = spawn(limited, NULL);
  pid_t second = spawn(plain, NULL);
  await_waiting_child(first);
  await_waiting_child(second);

  workload_ready();

  finish_child(first);
  finish_child(second);
  return workload_ok();
}
