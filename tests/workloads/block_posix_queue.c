// Threads that wait to receive from an empty POSIX message queue, and to send to a full one.
// modes: container
#include "workload_queues.h"

static void* receive_one(void* queue) {
  expect(*(mqd_t*)queue, "for who waits", 7);
  return NULL;
}

static void* send_one(void* queue) {
  struct timespec far;
  CHECK_SYS(clock_gettime(CLOCK_REALTIME, &far));
  far.tv_sec += 1000;
  CHECK_SYS(mq_timedsend(*(mqd_t*)queue, "late", 4, 0, &far));
  return NULL;
}

int main(void) {
  mqd_t empty = create("/empty", O_RDWR);
  mqd_t full = create("/full", O_RDWR);
  for (int i = 0; i < kCapacity; ++i) put(full, "early", 0);
  struct thread receiver, sender;
  start_thread(&receiver, receive_one, &empty);
  start_thread(&sender, send_one, &full);
  await_blocked(receiver.tid, SYS_mq_timedreceive);
  await_blocked(sender.tid, SYS_mq_timedsend);

  workload_ready();

  put(empty, "for who waits", 7);
  join_thread(&receiver);
  expect(full, "early", 0);
  join_thread(&sender);
  for (int i = 1; i < kCapacity; ++i) expect(full, "early", 0);
  expect(full, "late", 0);
  return workload_ok();
}
