// A POSIX message queue of a process tree, with a message in it, which others may take or add to.
// It goes on as if nothing had been.
// modes: pid
// refused: message queue
#include <mqueue.h>

#include "workload.h"

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "/workload-%d", (int)getpid());
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  if (queue == (mqd_t)-1 && errno == ENOSYS) workload_skip("this kernel has no message queues");
  CHECK_SYS(queue);
  CHECK_SYS(mq_send(queue, "kept", 5, 3));

  workload_ready();

  char text[64];
  unsigned priority = 0;
  CHECK_EQ(CHECK_SYS(mq_receive(queue, text, sizeof text, &priority)), 5);
  CHECK_STR(text, "kept");
  CHECK_EQ(priority, 3);
  CHECK_SYS(mq_unlink(name));
  return workload_ok();
}
