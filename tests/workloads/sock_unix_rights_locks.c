// What an open file that is nowhere but in the queue of a socket has taken: a lock of the whole
// file (flock), one of a part of it (open file description lock), a lease, and who is told when it
// becomes ready.
#include <sys/file.h>

#include "workload_leases.h"
#include "workload_sockets.h"

static struct flock range(int type, off_t start, off_t length) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static int lock_range(int fd, int type, off_t start, off_t length) {
  struct flock lock = range(type, start, length);
  return fcntl(fd, F_OFD_SETLK, &lock);
}

static void block(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void send_alone(int to, const char* data, int fd) {
  send_rights(to, data, &fd, 1);
  close(fd);
}

static int receive_one(int from, const char* data) {
  int fd = -1;
  receive_rights(from, data, &fd, 1);
  return fd;
}

int main(void) {
  block(SIGRTMIN);
  block(SIGRTMIN + 1);
  struct pair pair = unix_pair(SOCK_STREAM);
  int whole = make_file("whole", "w");
  CHECK_SYS(flock(whole, LOCK_EX));
  send_alone(pair.client, "whole", whole);
  int part = make_file("part", "p");
  CHECK_SYS(lock_range(part, F_WRLCK, 5, 10));
  CHECK_SYS(lock_range(part, F_RDLCK, 30, 0));
  send_alone(pair.client, "part", part);
  int leased = make_file("leased", "l");
  bool leases = fcntl(leased, F_SETLEASE, F_WRLCK) == 0;
  CHECK_SYS(fcntl(leased, F_SETSIG, SIGRTMIN));
  send_alone(pair.client, "leased", leased);
  int ends[2];
  CHECK_SYS(pipe(ends));
  CHECK_SYS(fcntl(ends[0], F_SETOWN, getpid()));
  CHECK_SYS(fcntl(ends[0], F_SETSIG, SIGRTMIN + 1));
  CHECK_SYS(fcntl(ends[0], F_SETFL, O_ASYNC));
  send_alone(pair.client, "told", ends[0]);

  workload_ready();

  int other = CHECK_SYS(open("whole", O_RDWR));
  CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  whole = receive_one(pair.server, "whole");
  CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  close(whole);
  CHECK_SYS(flock(other, LOCK_SH | LOCK_NB));

  other = CHECK_SYS(open("part", O_RDWR));
  CHECK_ERRNO(lock_range(other, F_RDLCK, 14, 1), EAGAIN);
  CHECK_ERRNO(lock_range(other, F_WRLCK, 1000, 1), EAGAIN);
  CHECK_SYS(lock_range(other, F_RDLCK, 1000, 1));
  CHECK_SYS(lock_range(other, F_WRLCK, 15, 15));
  part = receive_one(pair.server, "part");
  CHECK_SYS(lock_range(part, F_UNLCK, 0, 0));
  CHECK_SYS(lock_range(other, F_WRLCK, 0, 0));

  if (leases) {
    pid_t child = spawn(open_to_write, "leased");
    take(SIGRTMIN);
    await_blocked(child, SYS_openat);
    leased = receive_one(pair.server, "leased");
    CHECK_SYS(fcntl(leased, F_SETLEASE, F_UNLCK));
    reap_child(child);
  } else {
    receive_one(pair.server, "leased");
  }

  write_all(ends[1], "x", 1);
  take(SIGRTMIN + 1);
  ends[0] = receive_one(pair.server, "told");
  expect_text(ends[0], "x");
  CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
  CHECK_EQ(fcntl(ends[0], F_GETFL), O_ASYNC);
  return workload_ok();
}
