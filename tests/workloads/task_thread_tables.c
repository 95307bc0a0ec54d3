// Threads with a descriptor table or directories of their own (unshare), which threads that they
// have started share with them.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "workload_sharing.h"

enum { kOrdinary = 50 };

static pthread_barrier_t ready;
static pthread_barrier_t go;
static pthread_barrier_t opened;

// Shares the table of the thread that has started it.
static void* opens(void* argument) {
  wait_at(&ready);
  wait_at(&go);
  CHECK_SYS(fcntl(60, F_GETFD));
  CHECK_SYS(dup2(60, 61));
  wait_at(&opened);
  return argument;
}

static void* has_files(void* argument) {
  CHECK_SYS(unshare(CLONE_FILES));
  CHECK_SYS(close(kOrdinary));
  int file = make_file("of_thread", "text of the thread");
  CHECK_SYS(dup2(file, 60));
  CHECK_SYS(close(file));
  CHECK_EQ(read(60, (char[5]){0}, 5), 5);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
  CHECK_SYS(fcntl(60, F_SETLK, &lock));
  int counter = CHECK_SYS(eventfd(0, EFD_NONBLOCK));
  int epoll = CHECK_SYS(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};
  CHECK_SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event));
  struct thread sharer;
  start_thread(&sharer, opens, NULL);
  wait_at(&ready);
  wait_at(&go);
  CHECK_ERRNO(fcntl(kOrdinary, F_GETFD), EBADF);
  wait_at(&opened);
  join_thread(&sharer);
  expect_text(61, "of the");
  CHECK_EQ(eventfd_write(counter, 1), 0);
  struct epoll_event seen = {0};
  CHECK_EQ(epoll_wait(epoll, &seen, 1, 0), 1);
  CHECK_EQ(seen.data.u64, 7);
  CHECK_EQ(fcntl(epoll, F_GETFD), FD_CLOEXEC);
  return argument;
}

// Shares the directories of the thread that has started it, and nobody's descriptors.
static void* moves(void* argument) {
  CHECK_SYS(unshare(CLONE_FILES));
  CHECK_SYS(dup2(kOrdinary, 70));
  wait_at(&ready);
  wait_at(&go);
  CHECK_SYS(fcntl(70, F_GETFD));
  CHECK_SYS(chdir("deeper"));
  wait_at(&opened);
  return argument;
}

static void* has_directories(void* argument) {
  CHECK_SYS(unshare(CLONE_FS));
  CHECK_SYS(chdir("below"));
  umask(0027);
  struct thread sharer;
  start_thread(&sharer, moves, NULL);
  wait_at(&ready);
  wait_at(&go);
  wait_at(&opened);
  join_thread(&sharer);
  expect_directory("deeper");
  CHECK_EQ(umask(0), 0027);
  CHECK_ERRNO(fcntl(70, F_GETFD), EBADF);
  CHECK_SYS(fcntl(kOrdinary, F_GETFD));
  return argument;
}

static void* is_lost(void* argument) {
  CHECK_SYS(unshare(CLONE_FS));
  CHECK_SYS(mkdir("lost", 0755));
  CHECK_SYS(chdir("lost"));
  CHECK_SYS(rmdir("../lost"));
  wait_at(&ready);
  wait_at(&go);
  wait_at(&opened);
  char path[512];
  CHECK_ERRNO(getcwd(path, sizeof path) == NULL ? -1 : 0, ENOENT);
  return argument;
}

int main(void) {
  need_descriptors_of_threads();
  enum { kThreads = 6 };
  CHECK_SYS(mkdir("below", 0755));
  CHECK_SYS(mkdir("below/deeper", 0755));
  int ordinary = make_file("file", "text of the file");
  CHECK_SYS(dup2(ordinary, kOrdinary));
  umask(0022);
  CHECK_EQ(pthread_barrier_init(&ready, NULL, kThreads), 0);
  CHECK_EQ(pthread_barrier_init(&go, NULL, kThreads), 0);
  CHECK_EQ(pthread_barrier_init(&opened, NULL, kThreads), 0);
  char before[512];
  CHECK(getcwd(before, sizeof before) != NULL);
  struct thread threads[3];
  start_thread(&threads[0], has_files, NULL);
  start_thread(&threads[1], has_directories, NULL);
  start_thread(&threads[2], is_lost, NULL);
  wait_at(&ready);

  workload_ready();

  CHECK_ERRNO(fcntl(60, F_GETFD), EBADF);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
  int again = CHECK_SYS(open("of_thread", O_RDWR | O_CLOEXEC));
  CHECK_ERRNO(fcntl(again, F_SETLK, &lock), EAGAIN);  // a table's, not a process's
  wait_at(&go);
  wait_at(&opened);
  for (int i = 0; i < 3; ++i) join_thread(&threads[i]);
  CHECK_ERRNO(fcntl(61, F_GETFD), EBADF);
  char after[512];
  CHECK(getcwd(after, sizeof after) != NULL);
  CHECK_STR(after, before);
  CHECK_EQ(umask(0), 0022);
  return workload_ok();
}
