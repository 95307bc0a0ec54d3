// The main thread of the container's first process has ended while another goes on.
// modes: container
// refused: main thread
#include "workload.h"

static void* work(void* argument) {
  (void)argument;
  await_state(getpid(), 'Z');

  workload_ready();

  CHECK_EQ(task_state(getpid()), 'Z');
  exit(workload_ok());
}

int main(void) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, work, NULL), 0);
  pthread_exit(NULL);
}
