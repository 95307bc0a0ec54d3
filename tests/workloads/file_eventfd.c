// eventfd: counters, semaphore mode, a full one, shared with a child.
#include <sys/eventfd.h>

#include "workload.h"

static int shared;

static void child_body(void* argument) {
  (void)argument;
  wait_for_go();
  eventfd_t value;
  CHECK_SYS(eventfd_read(shared, &value));
  CHECK_EQ(value, 5);
  CHECK_SYS(eventfd_write(shared, 11));
}

int main(void) {
  int plain = CHECK_SYS(eventfd(123456789, EFD_NONBLOCK));
  int semaphore = CHECK_SYS(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
  int zero = CHECK_SYS(eventfd(0, EFD_NONBLOCK));
  int full = CHECK_SYS(eventfd(0, EFD_NONBLOCK));
  CHECK_SYS(eventfd_write(full, UINT64_MAX - 1));
  shared = CHECK_SYS(eventfd(5, 0));
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);

  workload_ready();

  eventfd_t value;
  CHECK_SYS(eventfd_read(plain, &value));
  CHECK_EQ(value, 123456789);
  CHECK_ERRNO(eventfd_read(plain, &value), EAGAIN);
  for (int i = 0; i < 2; i++) {
    CHECK_SYS(eventfd_read(semaphore, &value));
    CHECK_EQ(value, 1);
  }
  CHECK_ERRNO(eventfd_read(semaphore, &value), EAGAIN);
  CHECK_EQ(fcntl(semaphore, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(eventfd_read(zero, &value), EAGAIN);
  CHECK_ERRNO(eventfd_write(full, 1), EAGAIN);
  CHECK_SYS(eventfd_read(full, &value));
  CHECK_EQ(value, (long long)(UINT64_MAX - 1));
  finish_child(child);
  CHECK_SYS(eventfd_read(shared, &value));
  CHECK_EQ(value, 11);
  return workload_ok();
}
