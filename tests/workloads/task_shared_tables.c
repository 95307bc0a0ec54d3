// Processes that share a descriptor table (CLONE_FILES) or their directories (CLONE_FS) with others
// than their parent: brothers, a grandchild whose parent has left, an uncle.
#include "workload_sharing.h"

enum { kLockBytes = 10 };

static int ordinary;
static int locked;

// What the children tell of themselves.
static struct {
  volatile pid_t brother, other_brother, grandchild, uncle, nephew;
}* family;

static struct flock whole_lock(void) {
  return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = kLockBytes};
}

// Opens this number for all who share the table.
static void opens(void* argument) {
  wait_for_go();
  CHECK_SYS(dup2(ordinary, (int)(intptr_t)argument));
}

static void moves(void* argument) {
  wait_for_go();
  CHECK_SYS(chdir(argument));
  umask(0027);
}

static void* number(int fd) {
  return (void*)(intptr_t)fd;
}

// With one brother it shares its table, with the other its directories.
static void has_brothers(void* argument) {
  (void)argument;
  CHECK_SYS(chdir("below"));
  family->brother = clone_with(CLONE_FILES | CLONE_PARENT, opens, number(40));
  family->other_brother = clone_with(CLONE_FS | CLONE_PARENT, moves, "deeper");
  struct flock lock = whole_lock();
  CHECK_SYS(fcntl(locked, F_SETLK, &lock));
  wait_for_go();
  CHECK_SYS(fcntl(40, F_GETFD));
  expect_directory("deeper");
  CHECK_EQ(umask(0), 0027);
  wait_for_go();
}

// Its child shares the table of its parent.
static void has_left(void* argument) {
  (void)argument;
  family->grandchild = clone_with(CLONE_FILES, opens, number(41));
  CHECK_SYS(unshare(CLONE_FILES));
  CHECK_SYS(close(ordinary));
  await_waiting_child(family->grandchild);
  wait_for_go();
  finish_child(family->grandchild);
  CHECK_ERRNO(fcntl(41, F_GETFD), EBADF);
  CHECK_ERRNO(fcntl(ordinary, F_GETFD), EBADF);
}

static void knows(void* argument) {
  wait_for_go();
  CHECK_SYS(fcntl((int)(intptr_t)argument, F_GETFD));
  expect_directory("elsewhere");
}

// Its brother and its child share a table and directories, and it has left both.
static void has_brother_and_child(void* argument) {
  (void)argument;
  family->uncle = clone_with(CLONE_FILES | CLONE_FS | CLONE_PARENT, knows, number(42));
  pid_t child = clone_with(CLONE_FILES | CLONE_FS, opens, number(42));
  family->nephew = child;
  CHECK_SYS(unshare(CLONE_FILES | CLONE_FS));
  CHECK_SYS(chdir("below"));
  await_waiting_child(child);
  wait_for_go();
  finish_child(child);
  CHECK_ERRNO(fcntl(42, F_GETFD), EBADF);
  expect_directory("below");
}

int main(void) {
  CHECK_SYS(mkdir("below", 0755));
  CHECK_SYS(mkdir("below/deeper", 0755));
  CHECK_SYS(mkdir("elsewhere", 0755));
  CHECK_SYS(mkdir("elsewhere/below", 0755));
  family = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  ordinary = make_file("file", "text of the file");
  locked = make_file("locked", "");
  umask(0022);
  pid_t eldest = clone_with(0, has_brothers, NULL);
  pid_t left = clone_with(CLONE_FILES, has_left, NULL);
  await_waiting_child(eldest);
  await_waiting_child(left);
  CHECK_SYS(chdir("elsewhere"));
  pid_t last = clone_with(0, has_brother_and_child, NULL);
  await_waiting_child(last);
  CHECK_SYS(chdir(".."));
  await_waiting_child(family->brother);
  await_waiting_child(family->other_brother);
  await_waiting_child(family->uncle);

  workload_ready();

  finish_child(family->brother);
  finish_child(family->other_brother);
  CHECK_SYS(kill(eldest, SIGUSR1));
  await_waiting_child(eldest);
  CHECK_ERRNO(fcntl(40, F_GETFD), EBADF);
  struct flock lock = whole_lock();
  CHECK_SYS(fcntl(locked, F_GETLK, &lock));
  CHECK_EQ(lock.l_type, F_WRLCK);  // the eldest's, also when its brother has ended
  finish_child(eldest);
  CHECK_SYS(fcntl(locked, F_GETLK, &lock));
  CHECK_EQ(lock.l_type, F_UNLCK);

  finish_child(left);
  CHECK_SYS(fcntl(41, F_GETFD));
  expect_text(41, "text");

  finish_child(last);
  CHECK_ERRNO(fcntl(42, F_GETFD), EBADF);
  finish_child(family->uncle);
  CHECK_EQ(umask(0), 0022);
  return workload_ok();
}
