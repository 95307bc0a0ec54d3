// Shared memory between processes that are not parent and child: a mapping of /dev/zero inherited
// by two siblings, and a memfd that one has opened through /proc of the other.
#include "workload.h"

enum { kPage = 4096, kSize = 4 * kPage };

static char* zero;

static char* map_fd(int fd) {
  char* memory = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

static void writer(void* argument) {
  char* own = map_fd(*(int*)argument);
  wait_for_go();
  memcpy(zero + kPage, "from the writer", 16);
  memcpy(own + 2 * kPage, "through the memfd", 18);
}

static void reader(void* argument) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getppid(), *(int*)argument);
  int fd = CHECK_SYS(open(path, O_RDWR));
  close(*(int*)argument);
  char* own = map_fd(fd);
  wait_for_go();
  CHECK_STR(zero + kPage, "from the writer");
  CHECK_STR(own + 2 * kPage, "through the memfd");
  CHECK_STR(zero, "before");
}

int main(void) {
  int device = CHECK_SYS(open("/dev/zero", O_RDWR));
  zero = map_fd(device);
  close(device);
  strcpy(zero, "before");
  int memory = CHECK_SYS(memfd_create("between", MFD_CLOEXEC));
  CHECK_SYS(ftruncate(memory, kSize));
  pid_t first = spawn(writer, &memory);
  await_waiting_child(first);
  pid_t second = spawn(reader, &memory);
  await_waiting_child(second);

  workload_ready();

  finish_child(first);
  finish_child(second);
  CHECK_STR(zero + kPage, "from the writer");
  return workload_ok();
}
