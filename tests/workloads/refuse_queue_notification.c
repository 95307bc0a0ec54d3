// A process that has asked a POSIX message queue for a signal and has executed a program since, in
// which it still has the queue open: it is registered, and gets no signal.
// modes: container
// refused: notification
#include <mqueue.h>

#include "workload.h"

static void ask(mqd_t queue, int expected) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  if (expected == 0)
    CHECK_SYS(mq_notify(queue, &event));
  else
    CHECK_ERRNO(mq_notify(queue, &event), expected);
}

int main(int argc, char** argv) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  if (argc == 1) {
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mqd_t queue = mq_open("/notifies", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue == (mqd_t)-1 && errno == ENOSYS) workload_skip("this kernel has no message queues");
    CHECK_SYS(queue);
    ask(queue, 0);
    CHECK_SYS(fcntl(queue, F_SETFD, 0));
    char number[16];
    snprintf(number, sizeof number, "%d", (int)queue);
    CHECK_SYS(execl("/proc/self/exe", argv[0], number, NULL));
  }
  mqd_t queue = atoi(argv[1]);

  workload_ready();

  ask(queue, EBUSY);
  CHECK_SYS(mq_send(queue, "untold", 6, 0));
  struct timespec none = {0};
  CHECK_ERRNO(sigtimedwait(&set, NULL, &none), EAGAIN);
  CHECK_SYS(mq_unlink("/notifies"));
  return workload_ok();
}
