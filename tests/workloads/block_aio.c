// Threads that wait for events of asynchronous I/O (io_getevents): for ever, until one comes; and
// with a timeout, which ends in its own time.
#include "workload_aio.h"

static aio_context_t context, silent;
static struct timed_wait in_time;

static void* wait_for_event(void* unused) {
  (void)unused;
  aio_expect_empty(context, 5);
  return NULL;
}

static void* wait_in_vain(void* unused) {
  (void)unused;
  struct io_event event;
  struct timespec timeout = timespec_of_ms(kWaitMs);
  in_time.started = wait_clock_ms(&in_time);
  in_time.result = syscall(SYS_io_getevents, silent, 1, 1, &event, &timeout);
  in_time.ended = wait_clock_ms(&in_time);
  return NULL;
}

int main(void) {
  context = aio_setup(4);
  silent = aio_setup(4);
  struct thread waiting, in_vain;
  start_thread(&in_vain, wait_in_vain, NULL);
  start_thread(&waiting, wait_for_event, NULL);
  await_blocked(waiting.tid, SYS_io_getevents);
  await_blocked(in_vain.tid, SYS_io_getevents);
  await_age(&in_time);

  workload_ready();

  in_time.released = wait_clock_ms(&in_time);
  aio_submit_empty(context, 5);
  join_thread(&waiting);
  join_thread(&in_vain);
  CHECK_EQ(in_time.result, 0);
  check_timed_wait(&in_time);
  return workload_ok();
}
