// POSIX message queues: messages with their priorities and order, attributes, owner and mode;
// queues that nobody has open, that are full, that were removed; an epoll; and notification
// afterwards.
// modes: container
#include <sys/epoll.h>

#include "workload_queues.h"

static void check_mixed(mqd_t queue, mqd_t reader) {
  struct mq_attr attributes;
  CHECK_SYS(mq_getattr(queue, &attributes));
  CHECK_EQ(attributes.mq_flags, O_NONBLOCK);
  CHECK_EQ(attributes.mq_maxmsg, kCapacity);
  CHECK_EQ(attributes.mq_msgsize, kMessageSize);
  CHECK_EQ(attributes.mq_curmsgs, kCapacity);
  CHECK_SYS(mq_getattr(reader, &attributes));
  CHECK_EQ(attributes.mq_flags, 0);
  CHECK_ERRNO(mq_send(queue, "more", 4, 0), EAGAIN);
  CHECK_ERRNO(mq_send(reader, "more", 4, 0), EBADF);
  struct stat status;
  CHECK_SYS(fstat(queue, &status));
  CHECK_EQ(status.st_mode & 07777, 0640);
  CHECK_EQ(status.st_uid, 1000);
  CHECK_EQ(status.st_gid, 1001);
  expect(queue, "urgent", 32767);
  expect(reader, "first", 3);
  expect(queue, "second", 3);
  expect(queue, "third", 3);
  expect(queue, "", 1);
  expect(queue, "last", 0);
  char text[kMessageSize];
  CHECK_ERRNO(mq_receive(queue, text, sizeof text, NULL), EAGAIN);
}

static void check_notification(mqd_t queue) {
  struct sigevent event = {
      .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 42};
  CHECK_SYS(mq_notify(queue, &event));
  put(queue, "told", 1);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGRTMIN);
  CHECK_EQ(info.si_value.sival_int, 42);
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));

  mqd_t mixed = create("/mixed", O_RDWR | O_NONBLOCK);
  CHECK_SYS(fchown(mixed, 1000, 1001));
  CHECK_SYS(fchmod(mixed, 0640));
  mqd_t reader = (mqd_t)CHECK_SYS(mq_open("/mixed", O_RDONLY));
  put(mixed, "last", 0);
  put(mixed, "first", 3);
  put(mixed, "", 1);
  put(mixed, "second", 3);
  put(mixed, "urgent", 32767);
  put(mixed, "third", 3);

  mqd_t alone = create("/alone", O_RDWR);
  put(alone, "nobody has it open", 2);
  CHECK_SYS(mq_close(alone));

  mqd_t removed = create("/name", O_RDWR);
  put(removed, "of the removed one", 1);
  CHECK_SYS(mq_unlink("/name"));
  mqd_t successor = create("/name", O_RDWR);
  put(successor, "of its successor", 1);

  mqd_t watched = create("/watched", O_RDWR);
  int epoll = CHECK_SYS(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = 5};
  CHECK_SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, watched, &event));

  workload_ready();

  check_mixed(mixed, reader);
  alone = (mqd_t)CHECK_SYS(mq_open("/alone", O_RDWR));
  expect(alone, "nobody has it open", 2);
  expect(removed, "of the removed one", 1);
  put(removed, "still there", 4);
  expect(removed, "still there", 4);
  CHECK_SYS(mq_close(successor));
  successor = (mqd_t)CHECK_SYS(mq_open("/name", O_RDWR));
  expect(successor, "of its successor", 1);

  CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
  put(watched, "event", 0);
  CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1);
  CHECK_EQ(event.data.u32, 5);

  check_notification(alone);
  CHECK_SYS(mq_unlink("/mixed"));
  CHECK_ERRNO(mq_open("/mixed", O_RDWR), ENOENT);
  return workload_ok();
}
