// Tasks in PID namespaces of their own: one whose first process has threads, children, process
// groups, sessions, ended and orphaned children; one in the other; one that a process has begun and
// nobody is in yet; and one that ends with its first process.
// rights: CAP_SYS_ADMIN
#include <poll.h>
#include <sys/socket.h>

#include "workload_pid_namespaces.h"

static void exit_body(void* argument) {
  (void)argument;
  _exit(37);
}

static void wait_body(void* argument) {
  (void)argument;
  wait_for_go();
}

// --- The children of the first process

static void plain_body(void* ready) {
  CHECK_EQ(getppid(), 1);
  stay_named(ready);
  CHECK_SYS(kill(1, 0));
}

static void group_body(void* ready) {
  CHECK_SYS(setpgid(0, 0));
  CHECK_EQ(getpgrp(), getpid());
  stay_named(ready);
}

static void member_body(void* ready) {
  CHECK_EQ(getsid(0), getppid());
  stay_named(ready);
}

static void session_body(void* ready) {
  CHECK_EQ(CHECK_SYS(setsid()), getpid());
  pid_t member = spawn(member_body, ready);
  stay_named(ready);
  CHECK_EQ(getsid(member), getpid());
  CHECK_EQ(getpgid(member), getpid());
  finish_child(member);
}

// The leader of its session and its group has ended, and the first process has adopted it.
static void orphan_body(void* ready) {
  while (getppid() != 1) sched_yield();
  CHECK(getsid(0) != getpid() && getsid(0) == getpgrp());
  stay_named(ready);
}

struct orphanage {
  struct ready* ready;
  int pipe;
};

static void leave_orphan_body(void* argument) {
  const struct orphanage* orphanage = argument;
  CHECK_SYS(setsid());
  pid_t orphan = spawn(orphan_body, orphanage->ready);
  write_all(orphanage->pipe, &orphan, sizeof orphan);
}

static pid_t spawn_orphan(struct ready* ready) {
  int ends[2];
  CHECK_SYS(pipe(ends));
  struct orphanage orphanage = {ready, ends[1]};
  reap_child(spawn(leave_orphan_body, &orphanage));
  pid_t orphan;
  read_all(ends[0], &orphan, sizeof orphan);
  CHECK_SYS(close(ends[0]));
  CHECK_SYS(close(ends[1]));
  return orphan;
}

// --- What else a first process has

static sigset_t of_timer(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  return set;
}

static void* thread_body(void* ready) {
  const pid_t tid = gettid();
  const sigset_t set = of_timer();
  tell_ready(ready);
  while (sigwaitinfo(&set, NULL) == -1) CHECK_EQ(errno, EINTR);
  CHECK_EQ(gettid(), tid);
  return ready;
}

struct belongings {
  struct thread thread;
  timer_t timer;
  int pair[2];
};

static void acquire(struct belongings* has, struct ready* ready) {
  const sigset_t set = of_timer();
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  start_thread(&has->thread, thread_body, ready);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
  event._sigev_un._tid = has->thread.tid;
  CHECK_SYS(timer_create(CLOCK_MONOTONIC, &event, &has->timer));
  CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, has->pair));
  CHECK_SYS(setsockopt(has->pair[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
  CHECK_SYS(fcntl(has->pair[0], F_SETOWN, getpid()));
  CHECK_SYS(fcntl(has->pair[1], F_SETOWN, -getpid()));
  write_all(has->pair[1], "x", 1);
}

static void check_credentials_in_flight(int socket) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct ucred))];
  } control;
  char byte;
  struct iovec part = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  CHECK_EQ(CHECK_SYS(recvmsg(socket, &message, 0)), 1);
  struct ucred sender;
  CHECK(CMSG_FIRSTHDR(&message) != NULL);
  memcpy(&sender, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof sender);
  CHECK_EQ(sender.pid, getpid());
}

static void check_belongings(struct belongings* has) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  CHECK_SYS(getsockopt(has->pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  CHECK_EQ(peer.pid, getpid());
  CHECK_EQ(CHECK_SYS(fcntl(has->pair[0], F_GETOWN)), getpid());
  struct f_owner_ex group;
  CHECK_SYS(fcntl(has->pair[1], F_GETOWN_EX, &group));
  CHECK_EQ(group.type, F_OWNER_PGRP);
  CHECK_EQ(group.pid, getpid());
  check_credentials_in_flight(has->pair[0]);
  const struct itimerspec soon = {{0, 0}, {0, 1}};
  CHECK_SYS(timer_settime(has->timer, 0, &soon, NULL));
  join_thread(&has->thread);
}

static pid_t number_of_next(void) {
  pid_t next = spawn(exit_body, NULL);
  CHECK_EQ(CHECK_SYS(waitpid(next, NULL, 0)), next);
  return next;
}

static void check_signal_from(pid_t child) {
  siginfo_t info;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGCHLD);
  CHECK_EQ(info.si_pid, child);
}

static void check_ended(pid_t child, int status) {
  int got;
  CHECK_EQ(CHECK_SYS(waitpid(child, &got, 0)), child);
  CHECK_EQ(got, status);
}

// --- The first process

static void innermost_body(void* ready) {
  CHECK_EQ(getpid(), 1);
  pid_t child = spawn(plain_body, ready);
  stay_named(ready);
  finish_child(child);
}

static void nest_body(void* ready) {
  pid_t first = spawn_first(innermost_body, ready);
  CHECK(first != 1);
  stay_named(ready);
  finish_child(first);
}

enum { kPlain, kGroup, kSession, kNest, kOrphan, kChildren };
enum { kMembers = kChildren + 4 };  // with the session's, both of the innermost, and the thread

static void first_body(void* argument) {
  struct ready own = open_ready();
  struct ready* ready = &own;
  void (*const bodies[])(void*) = {plain_body, group_body, session_body, nest_body};
  CHECK_EQ(getpid(), 1);
  CHECK_EQ(getppid(), 0);
  CHECK_SYS(setpgid(0, 0));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  pid_t children[kChildren];
  for (int i = 0; i < kOrphan; i++) children[i] = spawn(bodies[i], ready);
  children[kOrphan] = spawn_orphan(ready);
  pid_t exited = spawn(exit_body, NULL);
  pid_t killed = spawn(wait_body, NULL);
  CHECK_SYS(kill(killed, SIGKILL));
  CHECK_SYS(waitid(P_PID, exited, &(siginfo_t){0}, WEXITED | WNOWAIT));
  CHECK_SYS(waitid(P_PID, killed, &(siginfo_t){0}, WEXITED | WNOWAIT));
  struct belongings has;
  acquire(&has, ready);
  await_ready(ready, kMembers);  // nobody takes a number any more
  const pid_t last = number_of_next();

  stay_named(argument);

  CHECK_EQ(number_of_next(), last + 1);
  check_belongings(&has);
  check_ended(exited, 37 << 8);
  check_ended(killed, SIGKILL);
  while (sigtimedwait(&set, NULL, &(struct timespec){0, 0}) == SIGCHLD) continue;
  for (int i = 0; i < kChildren; i++) {
    CHECK_EQ(getsid(children[i]) == children[i], i == kSession);
    CHECK_SYS(kill(children[i], SIGUSR1));
    check_signal_from(children[i]);
    reap_child(children[i]);
  }
  CHECK_ERRNO(wait(NULL), ECHILD);
}

static void outer_body(void* argument) {
  struct ready* ready = argument;
  pid_t first = spawn_first(first_body, ready);
  CHECK(first != 1);
  stay_named(ready);
  CHECK_EQ(getpgid(first), first);
  CHECK(strstr(status_field(first, "NSpid"), "\t1") != NULL);
  finish_child(first);
}

// --- One that ends with its first process

struct doomed {
  struct ready* ready;
  int pipe[2];
};

static void doomed_child_body(void* argument) {
  const struct doomed* doomed = argument;
  tell_ready(doomed->ready);
  for (;;) pause();
}

// In the process group of its parent, which has no number here.
static void doomed_first_body(void* argument) {
  const struct doomed* doomed = argument;
  CHECK_EQ(getpgrp(), 0);
  CHECK_EQ(getsid(0), 0);
  for (int i = 0; i < 2; i++) CHECK(spawn(doomed_child_body, argument) == i + 2);
  CHECK_SYS(close(doomed->pipe[1]));
  stay_named(doomed->ready);
  CHECK_SYS(kill(2, 0));
  CHECK_EQ(getpgid(3), 0);
}

static void doom_body(void* argument) {
  struct ready* ready = argument;
  struct doomed doomed = {.ready = ready};
  CHECK_SYS(setpgid(0, 0));
  CHECK_SYS(pipe(doomed.pipe));
  pid_t first = spawn_first(doomed_first_body, &doomed);
  CHECK_SYS(close(doomed.pipe[1]));
  stay_named(ready);
  CHECK_EQ(getpgid(first), getpgrp());
  struct pollfd children = {doomed.pipe[0], POLLIN, 0};
  CHECK_EQ(CHECK_SYS(poll(&children, 1, 0)), 0);
  finish_child(first);
  char byte;
  CHECK_EQ(CHECK_SYS(read(doomed.pipe[0], &byte, 1)), 0);  // nobody is left
  CHECK_ERRNO(fork(), ENOMEM);
}

// --- One that is begun

static void check_first_body(void* argument) {
  (void)argument;
  CHECK_EQ(getpid(), 1);
}

static void begin_body(void* ready) {
  CHECK_SYS(unshare(CLONE_NEWPID));
  stay_named(ready);
  reap_child(spawn(check_first_body, NULL));
  CHECK_ERRNO(fork(), ENOMEM);
}

int main(void) {
  need_namespaces(CLONE_NEWPID);
  struct ready ready = open_ready();
  pid_t outer = spawn(outer_body, &ready);
  await_ready(&ready, 2);
  pid_t doom = spawn(doom_body, &ready);
  await_ready(&ready, 4);
  pid_t begin = spawn(begin_body, &ready);
  await_ready(&ready, 1);

  workload_ready();

  finish_child(outer);
  finish_child(doom);
  finish_child(begin);
  CHECK_ERRNO(wait(NULL), ECHILD);
  return workload_ok();
}
