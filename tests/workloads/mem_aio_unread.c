// Events of asynchronous I/O that nobody has read yet: they stay in their order, also around the
// end of the ring, for who asks the kernel and for who takes them from the ring himself; further
// ones come behind them, and never over them.
#include <sys/eventfd.h>

#include "workload_aio.h"

// As the I/O library and others do: the head belongs to who reads.
static struct io_event take_from_ring(aio_context_t context) {
  struct aio_ring* ring = aio_ring_of(context);
  unsigned head = ring->head;
  CHECK(head != __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE));
  struct io_event event = ring->events[head];
  __atomic_store_n(&ring->head, (head + 1) % ring->places, __ATOMIC_RELEASE);
  return event;
}

static long submit_until_full(aio_context_t context, int null, uint64_t first) {
  for (uint64_t count = 0;; ++count) {
    struct iocb request = aio_request(IOCB_CMD_PREAD, null, NULL, 0, 0, first + count);
    if (aio_submit(context, &request) == 1) continue;
    CHECK_EQ(errno, EAGAIN);
    return (long)count;
  }
}

static unsigned unread_in(aio_context_t context) {
  const struct aio_ring* ring = aio_ring_of(context);
  return (ring->tail + ring->places - ring->head) % ring->places;
}

int main(void) {
  char content[16] = {0};
  int fd = make_file("data", "content");
  int null = CHECK_SYS(open("/dev/null", O_RDONLY));
  int signalled = CHECK_SYS(eventfd(0, EFD_NONBLOCK));

  aio_context_t first = aio_setup(8);
  struct iocb reading = aio_request(IOCB_CMD_PREAD, fd, content, 7, 0, 41);
  reading.aio_flags = IOCB_FLAG_RESFD;
  reading.aio_resfd = (uint32_t)signalled;
  CHECK_EQ(aio_submit(first, &reading), 1);
  struct iocb failing = aio_request(IOCB_CMD_PREAD, fd, (void*)8, 7, 0, 42);
  CHECK_EQ(aio_submit(first, &failing), 1);
  struct iocb writing = aio_request(IOCB_CMD_PWRITE, fd, "CON", 3, 0, 43);
  CHECK_EQ(aio_submit(first, &writing), 1);

  aio_context_t around = aio_setup(8);
  const unsigned places = aio_ring_of(around)->places;
  for (unsigned i = 0; i < places - 5; ++i) {
    aio_submit_empty(around, i);
    take_from_ring(around);
  }
  for (unsigned i = 0; i < 30; ++i) aio_submit_empty(around, 100 + i);
  for (unsigned i = 0; i < 2; ++i) CHECK_EQ(take_from_ring(around).data, 100 + i);
  CHECK(aio_ring_of(around)->tail < aio_ring_of(around)->head);
  const unsigned head = aio_ring_of(around)->head;

  aio_context_t full = aio_setup(8);
  const long full_count = submit_until_full(full, null, 0);
  CHECK(full_count >= 8);

  workload_ready();

  eventfd_t signals = 0;
  CHECK_SYS(eventfd_read(signalled, &signals));
  CHECK_EQ(signals, 1);
  struct io_event event = take_from_ring(first);
  CHECK_EQ(event.data, 41);
  CHECK_EQ(event.obj, (uintptr_t)&reading);
  CHECK_EQ(event.res, 7);
  CHECK_STR(content, "content");
  event = aio_await_one(first);
  CHECK_EQ(event.data, 42);
  CHECK_EQ(event.res, -EFAULT);
  event = aio_await_one(first);
  CHECK_EQ(event.data, 43);
  CHECK_EQ(event.res, 3);
  CHECK_EQ(unread_in(first), 0);

  CHECK_EQ(aio_ring_of(around)->head, head);
  for (unsigned i = 0; i < 3; ++i) aio_submit_empty(around, 130 + i);
  for (unsigned i = 2; i < 10; ++i) CHECK_EQ(take_from_ring(around).data, 100 + i);
  for (unsigned i = 10; i < 33; ++i) aio_expect_empty(around, 100 + i);
  CHECK_EQ(unread_in(around), 0);

  CHECK_EQ(unread_in(full), full_count);
  const long more = submit_until_full(full, null, (uint64_t)full_count);
  CHECK(full_count + more < (long)places);
  for (long i = 0; i < full_count + more; ++i) aio_expect_empty(full, (uint64_t)i);
  CHECK(submit_until_full(full, null, 0) >= 8);
  return workload_ok();
}
