// POSIX message queues that notify a process (mq_notify): by a signal with a value, by nothing, by
// a thread that the C library makes; of processes and queues of their own, and of a queue with
// messages, that notifies when it has become empty. Each is told once, and of nothing before.
// modes: container
#include <mqueue.h>
#include <semaphore.h>

#include "workload.h"

enum { kLongest = 8192 };

static const struct mq_attr kAttributes = {.mq_maxmsg = 4, .mq_msgsize = kLongest};
static char text[kLongest];
static char longest[kLongest];
static sem_t called;
static union sigval called_with;

static mqd_t create(const char* name) {
  struct mq_attr attributes = kAttributes;
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
  if (queue == (mqd_t)-1 && errno == ENOSYS) workload_skip("this kernel has no message queues");
  return CHECK_SYS(queue);
}

static void ask(mqd_t queue, int signal, int value) {
  struct sigevent event = {
      .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal, .sigev_value.sival_int = value};
  CHECK_SYS(mq_notify(queue, &event));
}

static void take(mqd_t queue, const char* data, size_t size) {
  CHECK_EQ(CHECK_SYS(mq_receive(queue, text, sizeof text, NULL)), size);
  CHECK_EQ(memcmp(text, data, size), 0);
}

static void expect_nothing(void) {
  sigset_t pending;
  CHECK_SYS(sigpending(&pending));
  CHECK_EQ(sigismember(&pending, SIGRTMIN), 0);
  CHECK_EQ(sigismember(&pending, SIGRTMIN + 1), 0);
}

static void expect_signal(int signal, int value) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), signal);
  CHECK_EQ(info.si_code, SI_MESGQ);
  CHECK_EQ(info.si_pid, getpid());
  CHECK_EQ(info.si_value.sival_int, value);
}

static void expect_told_once(mqd_t queue, int signal, int value) {
  CHECK_SYS(mq_send(queue, "told", 4, 0));
  expect_signal(signal, value);
  take(queue, "told", 4);
  CHECK_SYS(mq_send(queue, "untold", 6, 0));
  expect_nothing();
}

static void have_own(void* argument) {
  (void)argument;
  mqd_t queue = create("/of-child");
  ask(queue, SIGRTMIN + 1, 43);
  wait_for_go();
  expect_nothing();
  expect_told_once(queue, SIGRTMIN + 1, 43);
}

static void note_call(union sigval value) {
  called_with = value;
  sem_post(&called);
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigaddset(&set, SIGRTMIN + 1);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  fill_pattern(longest, sizeof longest, 1);
  CHECK_SYS(sem_init(&called, 0, 0));
  mqd_t empty = create("/empty");
  ask(empty, SIGRTMIN, 42);
  mqd_t full = create("/full");
  CHECK_SYS(mq_send(full, "last", 4, 0));
  CHECK_SYS(mq_send(full, longest, sizeof longest, 5));
  CHECK_SYS(mq_send(full, "", 0, 5));
  CHECK_SYS(mq_send(full, "first", 5, 32767));
  ask(full, SIGRTMIN + 1, 44);
  CHECK_SYS(mq_unlink("/full"));
  mqd_t silent = create("/silent");
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  CHECK_SYS(mq_notify(silent, &none));
  mqd_t calling = create("/calling");
  struct sigevent call = {.sigev_notify = SIGEV_THREAD,
                          .sigev_notify_function = note_call,
                          .sigev_value.sival_ptr = &called_with};
  CHECK_SYS(mq_notify(calling, &call));
  pid_t child = spawn(have_own, NULL);
  await_waiting_child(child);

  workload_ready();

  expect_nothing();
  CHECK_ERRNO(mq_notify(empty, &none), EBUSY);
  expect_told_once(empty, SIGRTMIN, 42);
  take(full, "first", 5);
  take(full, longest, sizeof longest);
  take(full, "", 0);
  CHECK_SYS(mq_send(full, "more", 4, 0));
  expect_nothing();
  take(full, "last", 4);
  take(full, "more", 4);
  expect_told_once(full, SIGRTMIN + 1, 44);
  CHECK_ERRNO(mq_notify(silent, &none), EBUSY);
  CHECK_SYS(mq_send(silent, "silence", 7, 0));
  CHECK_SYS(mq_notify(silent, &none));
  CHECK_SYS(mq_send(calling, "call", 4, 0));
  CHECK_SYS(sem_wait(&called));
  CHECK(called_with.sival_ptr == &called_with);
  finish_child(child);
  CHECK_SYS(mq_unlink("/empty"));
  CHECK_SYS(mq_unlink("/silent"));
  CHECK_SYS(mq_unlink("/calling"));
  CHECK_SYS(mq_unlink("/of-child"));
  return workload_ok();
}
