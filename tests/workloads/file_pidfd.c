// pidfds of a living child (pidfd_open and CLONE_PIDFD), of itself, a zombie, a reaped process and
// a thread; without blocking, in an epoll set, and shared with another process.
#include <linux/sched.h>
#include <poll.h>
#include <sys/epoll.h>

#include "workload.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif
enum { kExitStatus = 7 };

static int pidfd_open_flags(pid_t pid, unsigned flags) {
  return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int send_signal(int fd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}

static bool has_ended(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  return CHECK_SYS(poll(&entry, 1, 0)) == 1;
}

static void await_end(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  CHECK_EQ(CHECK_SYS(poll(&entry, 1, -1)), 1);
  CHECK(entry.revents & POLLIN);
}

static void expect_reaped(int fd, pid_t child, int code, int status) {
  siginfo_t info = {0};
  CHECK_SYS(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ(info.si_code, code);
  CHECK_EQ(info.si_status, status);
}

static void wait_body(void* unused) {
  (void)unused;
  wait_for_go();
}

static void end_body(void* unused) {
  (void)unused;
  _exit(kExitStatus);
}

// Ends the process whose pidfd it has inherited.
static void kill_body(void* fd) {
  wait_for_go();
  CHECK_SYS(send_signal(*(int*)fd, SIGKILL));
}

static void* thread_body(void* unused) {
  (void)unused;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  int signal = 0;
  CHECK_EQ(sigwait(&set, &signal), 0);
  return NULL;
}

static pid_t clone_with_pidfd(int* fd) {
  struct clone_args arguments = {
      .flags = CLONE_PIDFD, .pidfd = (uintptr_t)fd, .exit_signal = SIGCHLD};
  pid_t child = (pid_t)CHECK_SYS(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (child != 0) return child;
  wait_for_go();
  _exit(kExitStatus);
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);

  pid_t victim = spawn(wait_body, NULL);
  int victim_fd = CHECK_SYS(pidfd_open_flags(victim, 0));
  pid_t killer = spawn(kill_body, &victim_fd);
  int killer_fd = CHECK_SYS(pidfd_open_flags(killer, O_NONBLOCK));
  int cloned_fd = -1;
  pid_t cloned = clone_with_pidfd(&cloned_fd);
  int self_fd = CHECK_SYS(pidfd_open_flags(getpid(), 0));
  pid_t zombie = spawn(end_body, NULL);
  int zombie_fd = CHECK_SYS(pidfd_open_flags(zombie, 0));
  await_end(zombie_fd);
  pid_t reaped = spawn(end_body, NULL);
  int reaped_fd = CHECK_SYS(pidfd_open_flags(reaped, 0));
  CHECK_EQ(waitpid(reaped, NULL, 0), reaped);
  struct thread thread;
  start_thread(&thread, thread_body, NULL);
  await_blocked(thread.tid, SYS_rt_sigtimedwait);
  int thread_fd = pidfd_open_flags(thread.tid, PIDFD_THREAD);
  CHECK(thread_fd >= 0 || errno == EINVAL);  // before Linux 6.9

  int poller = CHECK_SYS(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event entry = {.events = EPOLLIN, .data.u64 = 5};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, victim_fd, &entry));
  await_waiting_child(victim);
  await_waiting_child(killer);
  await_waiting_child(cloned);

  workload_ready();

  CHECK(!has_ended(victim_fd) && !has_ended(killer_fd) && !has_ended(cloned_fd));
  CHECK(has_ended(zombie_fd) && has_ended(reaped_fd));
  siginfo_t info;
  CHECK_ERRNO(waitid(P_PIDFD, (id_t)killer_fd, &info, WEXITED), EAGAIN);
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &entry, 1, 0)), 0);
  CHECK_SYS(send_signal(killer_fd, SIGUSR1));
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &entry, 1, -1)), 1);
  CHECK_EQ(entry.data.u64, 5);
  expect_reaped(victim_fd, victim, CLD_KILLED, SIGKILL);
  await_end(killer_fd);
  expect_reaped(killer_fd, killer, CLD_EXITED, 0);
  CHECK_SYS(send_signal(cloned_fd, SIGUSR1));
  await_end(cloned_fd);
  expect_reaped(cloned_fd, cloned, CLD_EXITED, kExitStatus);
  expect_reaped(zombie_fd, zombie, CLD_EXITED, kExitStatus);
  CHECK_ERRNO(send_signal(reaped_fd, 0), ESRCH);
  CHECK_ERRNO(waitid(P_PIDFD, (id_t)reaped_fd, &info, WEXITED), ECHILD);
  CHECK_SYS(send_signal(self_fd, SIGUSR2));  // to any thread; the one that waits gets it
  join_thread(&thread);
  if (thread_fd >= 0) await_end(thread_fd);
  return workload_ok();
}
