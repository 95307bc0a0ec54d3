// refused: userfaultfd
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "workload.h"

enum { kPage = 4096 };

static void* touches(void* argument) {
  CHECK_EQ(*(volatile char*)argument, 'u');
  return NULL;
}

int main(void) {
  int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  if (fd < 0) workload_skip("userfaultfd is not available");
  struct uffdio_api api = {.api = UFFD_API};
  CHECK_SYS(ioctl(fd, UFFDIO_API, &api));
  char* memory = map_memory(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  struct uffdio_register range = {.range = {(uintptr_t)memory, kPage},
                                  .mode = UFFDIO_REGISTER_MODE_MISSING};
  CHECK_SYS(ioctl(fd, UFFDIO_REGISTER, &range));

  workload_ready();

  struct thread thread;
  start_thread(&thread, touches, memory);
  struct uffd_msg message;
  CHECK_EQ(CHECK_SYS(read(fd, &message, sizeof message)), sizeof message);
  CHECK_EQ(message.event, UFFD_EVENT_PAGEFAULT);
  char page[kPage] = {'u'};
  struct uffdio_copy copy = {.dst = (uintptr_t)memory, .src = (uintptr_t)page, .len = kPage};
  CHECK_SYS(ioctl(fd, UFFDIO_COPY, &copy));
  join_thread(&thread);
  return workload_ok();
}
