// A file that a process changes through a mapping while it moves, and whose main thread has ended:
// the mapping is seen by its other threads alone.
#include "workload.h"

static volatile uint64_t* in_file;

static void* count_on(void* unused) {
  (void)unused;
  await_state(getpid(), 'Z');
  sigset_t go;
  sigemptyset(&go);
  sigaddset(&go, SIGUSR1);
  uint64_t of_memory = 0;
  struct timespec at_once = {0, 0};
  while (sigtimedwait(&go, NULL, &at_once) != SIGUSR1) {
    CHECK_EQ(*in_file, of_memory);
    *in_file = ++of_memory;
    sched_yield();
  }
  CHECK_EQ(*in_file, of_memory);
  exit(0);
}

static void ends_first(void* unused) {
  (void)unused;
  int fd = CHECK_SYS(open("counted", O_RDWR | O_CREAT | O_EXCL, 0600));
  CHECK_SYS(ftruncate(fd, sizeof *in_file));
  void* mapping = mmap(NULL, sizeof *in_file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(mapping != MAP_FAILED);
  in_file = mapping;
  close(fd);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, count_on, NULL), 0);
  pthread_exit(NULL);
}

int main(void) {
  need_descriptors_of_threads();
  pid_t process = spawn(ends_first, NULL);
  await_state(process, 'Z');

  workload_ready();

  CHECK_SYS(kill(process, SIGUSR1));
  reap_child(process);
  return workload_ok();
}
