// A process whose main thread has ended while another goes on.
// refused: main thread
#include "workload.h"

static void* work(void* argument) {
  (void)argument;
  pid_t self = gettid();
  CHECK(self != getpid());
  await_state(getpid(), 'Z');

  workload_ready();

  CHECK_EQ(gettid(), self);
  CHECK_EQ(task_state(getpid()), 'Z');
  exit(workload_ok());
}

int main(void) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, work, NULL), 0);
  pthread_exit(NULL);
}
