// Stacks grow after the restore: the main stack far down, a MAP_GROWSDOWN mapping, and a thread's.
#include "workload.h"

enum { kPage = 4096, kHole = 512 * kPage };

static uint64_t recurse(int depth) {
  volatile char frame[8192];
  frame[0] = depth;
  frame[8191] = depth;
  uint64_t below = depth > 0 ? recurse(depth - 1) : 0;
  return below + (unsigned char)frame[0] + (unsigned char)frame[8191];
}

static uint64_t expected(int depth) {
  uint64_t sum = 0;
  for (int i = 0; i <= depth; i++) sum += 2 * (unsigned char)i;
  return sum;
}

static pthread_barrier_t barrier;

static void* work(void* argument) {
  pthread_barrier_wait(&barrier);
  CHECK_EQ(recurse(400), expected(400));
  return argument;
}

int main(void) {
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  struct thread thread;
  start_thread(&thread, work, NULL);
  await_blocked(thread.tid, SYS_futex);
  // The kernel keeps 256 pages below a growing mapping free.
  char* area = map_memory(kHole + 4 * kPage, PROT_NONE, MAP_PRIVATE);
  CHECK_SYS(munmap(area, kHole + 4 * kPage));
  char* growing = mmap(area + kHole, 4 * kPage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
  CHECK(growing == area + kHole);
  growing[0] = 'g';

  workload_ready();

  CHECK_EQ(recurse(700), expected(700));  // 5.6 of the 8 MiB
  CHECK_EQ(growing[0], 'g');
  for (int page = 1; page < 40; page++) growing[-page * kPage] = page;
  CHECK_EQ(growing[-20 * kPage], 20);
  pthread_barrier_wait(&barrier);
  join_thread(&thread);
  CHECK(strstr(read_small_file("/proc/self/maps"), "[stack]") != NULL);
  return workload_ok();
}
