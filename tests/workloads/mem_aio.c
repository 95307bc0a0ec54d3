// Contexts of asynchronous I/O of several sizes, one with a hole before it and one whose ring has
// moved: each has its id, its ring and its room again, serves requests and their eventfds, and can
// be destroyed. A child has nothing of its parent's but one of its own.
#include <sys/eventfd.h>

#include "workload_aio.h"

enum { kContexts = 4, kBlock = 4096 };

static const unsigned kRequests[kContexts] = {1, 100, 2000, 16};
static struct aio_ring rings[kContexts];
static aio_context_t contexts[kContexts], parents;

static aio_context_t move_ring(aio_context_t context) {
  void* place = map_memory(2 * kBlock, PROT_READ, MAP_PRIVATE);
  CHECK_SYS(munmap(place, 2 * kBlock));
  void* moved = mremap((void*)context, kBlock, kBlock, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  CHECK(moved == place);
  return (uintptr_t)place;
}

static void write_and_read(aio_context_t context, int fd, uint64_t number) {
  uint64_t read_back = 0;
  int event = CHECK_SYS(eventfd(0, 0));
  struct iocb put = aio_request(IOCB_CMD_PWRITE, fd, &number, sizeof number, 8, number);
  struct iocb get = aio_request(IOCB_CMD_PREAD, fd, &read_back, sizeof read_back, 8, ~number);
  get.aio_flags = IOCB_FLAG_RESFD;
  get.aio_resfd = (uint32_t)event;
  CHECK_EQ(aio_submit(context, &put), 1);
  struct io_event done = aio_await_one(context);
  CHECK_EQ(done.data, number);
  CHECK_EQ(done.obj, (uintptr_t)&put);
  CHECK_EQ(done.res, sizeof number);
  CHECK_EQ(aio_submit(context, &get), 1);
  eventfd_t signals = 0;
  CHECK_SYS(eventfd_read(event, &signals));
  CHECK_EQ(signals, 1);
  CHECK_EQ(aio_await_one(context).data, ~number);
  CHECK_EQ(read_back, number);
  CHECK_SYS(close(event));
}

static void sync_file(aio_context_t context, int fd) {
  struct iocb sync = aio_request(IOCB_CMD_FSYNC, fd, NULL, 0, 0, 5);
  CHECK_EQ(aio_submit(context, &sync), 1);
  CHECK_EQ(aio_await_one(context).res, 0);
}

static void in_child(void* unused) {
  (void)unused;
  aio_context_t own = aio_setup(3);
  aio_submit_empty(own, 77);
  wait_for_go();
  struct iocb request = aio_request(IOCB_CMD_PREAD, 0, NULL, 0, 0, 0);
  CHECK_ERRNO(aio_submit(parents, &request), EINVAL);
  aio_expect_empty(own, 77);
  aio_submit_empty(own, 78);
  aio_expect_empty(own, 78);
  CHECK_SYS(syscall(SYS_io_destroy, own));
}

static void check_ring(int index) {
  const struct aio_ring* ring = aio_ring_of(contexts[index]);
  CHECK_EQ(ring->places, rings[index].places);
  CHECK_EQ(ring->head, rings[index].head);
  CHECK_EQ(ring->tail, rings[index].tail);
  CHECK_EQ(ring->magic, rings[index].magic);
  CHECK_EQ(ring->header_length, sizeof *ring);
}

static void check_room(aio_context_t context, unsigned requests) {
  for (unsigned i = 0; i < requests; ++i) aio_submit_empty(context, i);
  for (unsigned i = 0; i < requests; ++i) aio_expect_empty(context, i);
}

int main(void) {
  int fd = make_file("data", "content");
  aio_context_t hole = aio_setup(10);
  for (int i = 0; i < kContexts; ++i) contexts[i] = aio_setup(kRequests[i]);
  contexts[3] = move_ring(contexts[3]);
  parents = contexts[1];
  CHECK_SYS(syscall(SYS_io_destroy, hole));
  for (unsigned i = 0; i < 3; ++i) write_and_read(contexts[1], fd, i);
  check_room(contexts[2], 2000);
  check_room(contexts[2], 2000);
  for (int i = 0; i < kContexts; ++i) rings[i] = *aio_ring_of(contexts[i]);
  pid_t child = spawn(in_child, NULL);
  await_waiting_child(child);

  workload_ready();

  for (int i = 0; i < kContexts; ++i) {
    check_ring(i);
    write_and_read(contexts[i], fd, 1000 + (uint64_t)i);
    sync_file(contexts[i], fd);
    check_room(contexts[i], kRequests[i]);
  }
  finish_child(child);
  aio_context_t fresh = aio_setup(5);
  write_and_read(fresh, fd, 9);
  for (int i = 0; i < kContexts; ++i) {
    CHECK_SYS(syscall(SYS_io_destroy, contexts[i]));
    struct io_event event;
    CHECK_ERRNO(syscall(SYS_io_getevents, contexts[i], 0, 1, &event, NULL), EINVAL);
  }
  write_and_read(fresh, fd, 10);
  return workload_ok();
}
