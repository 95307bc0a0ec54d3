// A POSIX message queue that tells a process by a signal when a message comes (mq_notify). It is
// told as if nothing had been, once.
// modes: container
// refused: notification
#include <mqueue.h>

#include "workload.h"

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
  mqd_t queue = mq_open("/notifies", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  if (queue == (mqd_t)-1 && errno == ENOSYS) workload_skip("this kernel has no message queues");
  CHECK_SYS(queue);
  struct sigevent event = {
      .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 42};
  CHECK_SYS(mq_notify(queue, &event));

  workload_ready();

  struct timespec none = {0};
  CHECK_ERRNO(sigtimedwait(&set, NULL, &none), EAGAIN);
  CHECK_SYS(mq_send(queue, "told", 4, 0));
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGRTMIN);
  CHECK_EQ(info.si_value.sival_int, 42);
  CHECK_SYS(mq_unlink("/notifies"));
  return workload_ok();
}
