// File locks: flock, POSIX record locks of two processes, open file description locks.
#include <sys/file.h>

#include "workload.h"

static struct flock range(int type, off_t start, off_t length) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static int lock(int fd, int command, int type, off_t start, off_t length) {
  struct flock lock = range(type, start, length);
  return fcntl(fd, command, &lock);
}

static pid_t owner_of(int fd, off_t start, off_t length) {
  struct flock lock = range(F_WRLCK, start, length);
  CHECK_SYS(fcntl(fd, F_GETLK, &lock));
  return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static void child_body(void* argument) {
  (void)argument;
  int fd = CHECK_SYS(open("records", O_RDWR));
  CHECK_SYS(lock(fd, F_SETLK, F_WRLCK, 100, 50));
  CHECK_SYS(lock(fd, F_SETLK, F_RDLCK, 300, 10));
  wait_for_go();
  CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 0, 10), EAGAIN);
}

int main(void) {
  int records = make_file("records", "");
  CHECK_SYS(lock(records, F_SETLK, F_WRLCK, 0, 100));
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);
  int whole = make_file("whole", "");
  CHECK_SYS(flock(whole, LOCK_EX));
  int shared = make_file("shared", "");
  CHECK_SYS(flock(shared, LOCK_SH));
  int description = make_file("description", "");
  CHECK_SYS(lock(description, F_OFD_SETLK, F_WRLCK, 5, 0));

  workload_ready();

  CHECK_EQ(owner_of(records, 120, 1), child);
  CHECK_EQ(owner_of(records, 305, 1), child);
  CHECK_EQ(owner_of(records, 200, 50), 0);
  CHECK_SYS(lock(records, F_SETLK, F_RDLCK, 300, 10));
  int other = CHECK_SYS(open("whole", O_RDWR));
  CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  CHECK_SYS(flock(whole, LOCK_UN));
  CHECK_SYS(flock(other, LOCK_SH | LOCK_NB));
  other = CHECK_SYS(open("shared", O_RDWR));
  CHECK_SYS(flock(other, LOCK_SH | LOCK_NB));
  CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  other = CHECK_SYS(open("description", O_RDWR));
  CHECK_ERRNO(lock(other, F_OFD_SETLK, F_WRLCK, 1000, 1), EAGAIN);
  CHECK_SYS(lock(other, F_OFD_SETLK, F_WRLCK, 0, 5));
  finish_child(child);
  CHECK_EQ(owner_of(records, 120, 1), 0);
  return workload_ok();
}
