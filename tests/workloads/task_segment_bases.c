// The FS and GS bases of each thread.
#include <asm/prctl.h>

#include "workload.h"

static uint64_t areas[3][8];
static pthread_barrier_t barrier;
static _Thread_local int own = 11;

static uint64_t read_gs(void) {
  uint64_t value;
  __asm__ volatile("mov %%gs:8, %0" : "=r"(value));
  return value;
}

static void set_gs(uint64_t* area, uint64_t value) {
  area[1] = value;
  CHECK_SYS(syscall(SYS_arch_prctl, ARCH_SET_GS, area));
}

static void check_bases(uint64_t* area, uint64_t value, unsigned long fs) {
  unsigned long now;
  CHECK_EQ(read_gs(), value);
  CHECK_SYS(syscall(SYS_arch_prctl, ARCH_GET_GS, &now));
  CHECK_EQ(now, area);
  CHECK_SYS(syscall(SYS_arch_prctl, ARCH_GET_FS, &now));
  CHECK_EQ(now, fs);
}

static void* work(void* argument) {
  uint64_t index = (uintptr_t)argument;
  own = 100 + index;
  set_gs(areas[index], 1000 + index);
  unsigned long fs;
  CHECK_SYS(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
  pthread_barrier_wait(&barrier);
  check_bases(areas[index], 1000 + index, fs);
  CHECK_EQ(own, 100 + index);
  return NULL;
}

int main(void) {
  struct thread threads[2];
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 3), 0);
  for (int i = 0; i < 2; i++) {
    start_thread(&threads[i], work, (void*)(uintptr_t)i);
    await_blocked(threads[i].tid, SYS_futex);
  }
  set_gs(areas[2], 77);
  unsigned long fs;
  CHECK_SYS(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));

  workload_ready();

  check_bases(areas[2], 77, fs);
  CHECK_EQ(own, 11);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 2; i++) join_thread(&threads[i]);
  return workload_ok();
}
