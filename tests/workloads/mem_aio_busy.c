// Direct reads and writes that are always in flight, four at a time, while the program is captured:
// what a device has written into memory is there, also where nobody looked at it since; so is what
// was written to the file.
#include "workload_aio.h"

enum { kDepth = 4, kBlock = 4096, kBlocks = 512, kBuffers = 2048 };

static aio_context_t context;
static int file;
static volatile int stop;
static char* buffers;                  // read into, each now and then
static uint32_t block_of[kBuffers];    // that was read into the buffer
static uint32_t version_in[kBuffers];  // that the block had then
static uint32_t version_of[kBlocks];   // in the file
static char* sources;                  // one to write from for each request in flight
static uint64_t finished;

struct slot {
  struct iocb request;
  bool writes;
  uint32_t block, buffer;
};
static struct slot slots[kDepth];

static uint32_t mark(uint32_t block, uint32_t version) {
  return version * kBlocks + block + 1;
}

static bool is_taken(uint32_t block, uint32_t buffer) {
  for (int i = 0; i < kDepth; ++i)
    if (slots[i].request.aio_nbytes != 0 &&
        (slots[i].block == block || (!slots[i].writes && slots[i].buffer == buffer)))
      return true;
  return false;
}

static void submit(int index) {
  struct slot* slot = &slots[index];
  uint32_t block, buffer;
  do {
    block = draw(kBlocks);
    buffer = draw(kBuffers);
  } while (is_taken(block, buffer));
  const bool writes = draw(3) == 0;
  void* memory = writes ? sources + (size_t)index * kBlock : buffers + (size_t)buffer * kBlock;
  if (writes)
    fill_version(memory, mark(block, ++version_of[block]));
  else
    block_of[buffer] = block, version_in[buffer] = version_of[block];
  *slot = (struct slot){aio_request(writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD, file, memory, kBlock,
                                    (int64_t)block * kBlock, (uint64_t)index),
                        writes, block, buffer};
  CHECK_EQ(CHECK_SYS(aio_submit(context, &slot->request)), 1);
}

static struct slot* finish_one(void) {
  struct io_event event = aio_await_one(context);
  struct slot* slot = &slots[event.data];
  CHECK_EQ(event.res, kBlock);
  CHECK_EQ(event.obj, (uintptr_t)&slot->request);
  slot->request.aio_nbytes = 0;
  ++finished;
  return slot;
}

static void* keep_busy(void* unused) {
  (void)unused;
  for (int i = 0; i < kDepth; ++i) submit(i);
  while (!stop) submit((int)(finish_one() - slots));
  for (int i = 0; i < kDepth; ++i) finish_one();
  return NULL;
}

static void check_all(void) {
  for (int i = 0; i < kBuffers; ++i) {
    const uint32_t version = version_in[i];
    check_version(buffers + (size_t)i * kBlock, version == 0 ? 0 : mark(block_of[i], version));
  }
  char* block = map_memory(kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  for (uint32_t i = 0; i < kBlocks; ++i) {
    CHECK_EQ(pread(file, block, kBlock, (off_t)i * kBlock), kBlock);
    check_version(block, mark(i, version_of[i]));
  }
}

int main(void) {
  context = aio_setup(kDepth);
  seed_random();
  int plain = make_file("data", "");
  buffers = map_memory((size_t)kBuffers * kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  sources = map_memory((size_t)kDepth * kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  for (uint32_t i = 0; i < kBlocks; ++i) {
    fill_version(sources, mark(i, version_of[i] = 1));
    CHECK_EQ(pwrite(plain, sources, kBlock, (off_t)i * kBlock), kBlock);
  }
  CHECK_SYS(fsync(plain));
  file = open("data", O_RDWR | O_DIRECT);
  if (file < 0) workload_skip("no O_DIRECT in this file system");

  ready_beside(keep_busy, &stop);

  CHECK(finished > 0);
  check_all();
  return workload_ok();
}
