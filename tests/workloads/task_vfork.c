// Processes that start programs by vfork all the time, which does not keep them from being stopped.
#include <signal.h>

#include "workload.h"

static volatile long* counts;
static volatile int* stop;

static void start_programs(void* argument) {
  long number = (long)argument;
  while (!*stop) {
    pid_t child = vfork();
    if (child == 0) {
      execl("/bin/true", "true", NULL);
      _exit(127);
    }
    reap_child(CHECK_SYS(child));
    counts[number]++;
  }
}

int main(void) {
  enum { kStarters = 3 };
  counts = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  stop = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  pid_t starters[kStarters];
  for (long i = 0; i < kStarters; i++) starters[i] = spawn(start_programs, (void*)i);
  for (int i = 0; i < kStarters; i++)
    while (counts[i] == 0) sched_yield();

  workload_ready();

  for (int i = 0; i < kStarters; i++)
    for (long before = counts[i]; counts[i] < before + 2;) sched_yield();
  *stop = 1;
  for (int i = 0; i < kStarters; i++) reap_child(starters[i]);
  return workload_ok();
}
