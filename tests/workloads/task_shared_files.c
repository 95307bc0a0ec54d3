// Processes that share a descriptor table (CLONE_FILES) or their directories (CLONE_FS) with their
// parent, and one that shares nothing.
#include "workload_sharing.h"

static int files[2];
static int ordinary;
static int locked;

// Each step of a child is followed by a check in its parent.
static void step(void) {
  write_all(files[1], "s", 1);
  wait_for_go();
}

static void await_step(void) {
  expect_text(files[0], "s");
}

static void grandchild(void* argument) {
  (void)argument;
  wait_for_go();
  CHECK_SYS(dup2(ordinary, 50));
}

static void shares_files(void* argument) {
  (void)argument;
  pid_t child = clone_with(CLONE_FILES | CLONE_FS, grandchild, NULL);
  await_waiting_child(child);
  wait_for_go();
  CHECK_SYS(dup2(ordinary, 40));
  CHECK_SYS(chdir("below"));  // its own affair
  finish_child(child);
  CHECK_SYS(fcntl(50, F_GETFD));
  step();
  CHECK_ERRNO(fcntl(40, F_GETFD), EBADF);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
  CHECK_SYS(fcntl(locked, F_SETLK, &lock));  // taken for the table, not for a process
}

static void shares_directories(void* argument) {
  (void)argument;
  wait_for_go();
  CHECK_SYS(dup2(ordinary, 41));
  CHECK_SYS(chdir("other"));
  umask(0027);
}

static void shares_nothing(void* argument) {
  (void)argument;
  wait_for_go();
  CHECK_ERRNO(fcntl(40, F_GETFD), EBADF);
  CHECK_ERRNO(fcntl(50, F_GETFD), EBADF);
  CHECK_EQ(umask(0), 0022);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
  CHECK_SYS(fcntl(locked, F_GETLK, &lock));
  CHECK_EQ(lock.l_type, F_WRLCK);
}

int main(void) {
  CHECK_SYS(mkdir("below", 0755));
  CHECK_SYS(mkdir("other", 0755));
  CHECK_SYS(pipe2(files, O_CLOEXEC));
  ordinary = make_file("file", "text of the file");
  locked = make_file("locked", "");
  umask(0022);
  pid_t with_files = clone_with(CLONE_FILES, shares_files, NULL);
  pid_t with_directories = clone_with(CLONE_FS, shares_directories, NULL);
  pid_t with_nothing = clone_with(0, shares_nothing, NULL);
  await_waiting_child(with_files);
  await_waiting_child(with_directories);
  await_waiting_child(with_nothing);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
  CHECK_SYS(fcntl(locked, F_SETLK, &lock));

  workload_ready();

  CHECK_SYS(kill(with_files, SIGUSR1));
  await_step();
  CHECK_SYS(fcntl(40, F_GETFD));
  CHECK_SYS(fcntl(50, F_GETFD));
  expect_text(40, "text");
  CHECK_SYS(access("below", F_OK));  // still where it was
  CHECK_SYS(close(40));
  finish_child(with_nothing);
  finish_child(with_files);
  finish_child(with_directories);
  expect_directory("other");
  CHECK_EQ(umask(0), 0027);
  CHECK_ERRNO(fcntl(41, F_GETFD), EBADF);
  return workload_ok();
}
