// A static executable at a fixed address.
// flags: -static -no-pie
#include "workload.h"

static int initialised = 42;
static int zeroed[1024];

static void* work(void* argument) {
  return argument;
}

int main(void) {
  char* heap = malloc(100000);
  memset(heap, 7, 100000);
  initialised++;
  zeroed[1000] = 3;

  workload_ready();

  CHECK_EQ(initialised, 43);
  CHECK_EQ(zeroed[1000], 3);
  CHECK_EQ(zeroed[999], 0);
  CHECK_EQ(heap[99999], 7);
  struct thread thread;
  start_thread(&thread, work, NULL);
  join_thread(&thread);
  CHECK(now_ns(CLOCK_MONOTONIC) > 0);
  return workload_ok();
}
