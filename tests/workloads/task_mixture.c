// Something of everything at once, in two processes and several threads: memory, files, sockets
// with unread data, a terminal with unread data, timers, pending signals. The one that checkpoints
// are killed on (tests/faults/test_killed_checkpoint.py).
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <termios.h>

#include "workload_sockets.h"

enum { kThreads = 3, kMemory = 1 << 20, kFarAway = 100000, kQueued = 5 };

static int event_for_threads;

struct child_objects {
  int pipe;
  void* memory;
};

static void* thread_body(void* argument) {
  uint64_t seed = (uint64_t)(intptr_t)argument;
  void* memory = map_memory(kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  fill_pattern(memory, kMemory, seed);
  uint64_t value;
  CHECK_EQ(read(event_for_threads, &value, sizeof value), sizeof value);
  check_pattern(memory, kMemory, seed);
  return NULL;
}

static void child_body(void* argument) {
  struct child_objects* objects = argument;
  wait_for_go();
  expect_text(objects->pipe, "from the parent");
  check_pattern(objects->memory, kMemory, 7);
}

static void block_signals(void) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN + 3);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);
}

static void queue_signals(void) {
  for (int i = 0; i < kQueued; i++)
    CHECK_SYS(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 10 + i}));
}

static void check_signals(void) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN + 3);
  for (int i = 0; i < kQueued; i++) {
    siginfo_t info;
    struct timespec at_once = {0, 0};
    CHECK_EQ(sigtimedwait(&blocked, &info, &at_once), SIGRTMIN + 3);
    CHECK_EQ(info.si_value.sival_int, 10 + i);
  }
}

struct terminal {
  int master;
  int slave;
};

static struct terminal open_terminal(void) {
  struct terminal terminal;
  terminal.master = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal.master < 0) workload_skip("there are no pseudo-terminals");
  CHECK_SYS(grantpt(terminal.master));
  CHECK_SYS(unlockpt(terminal.master));
  char name[64];
  CHECK_EQ(ptsname_r(terminal.master, name, sizeof name), 0);
  terminal.slave = open(name, O_RDWR | O_NOCTTY);
  if (terminal.slave < 0) workload_skip("no pseudo-terminal file system is mounted");
  struct termios settings;
  CHECK_SYS(tcgetattr(terminal.slave, &settings));
  settings.c_lflag &= ~(tcflag_t)ECHO;
  CHECK_SYS(tcsetattr(terminal.slave, TCSANOW, &settings));
  write_all(terminal.master, "typed\n", 6);
  write_all(terminal.slave, "said", 4);
  return terminal;
}

static void check_terminal(struct terminal terminal) {
  expect_text(terminal.slave, "typed\n");
  expect_text(terminal.master, "said");
  struct termios settings;
  CHECK_SYS(tcgetattr(terminal.slave, &settings));
  CHECK_EQ(settings.c_lflag & (ICANON | ECHO | ISIG), ICANON | ISIG);
}

static timer_t start_timers(int timerfd) {
  struct itimerval interval = {{0, 0}, {kFarAway, 0}};
  CHECK_SYS(setitimer(ITIMER_REAL, &interval, NULL));
  struct itimerspec far_away = {{0, 0}, {kFarAway, 0}};
  CHECK_SYS(timerfd_settime(timerfd, 0, &far_away, NULL));
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 4};
  CHECK_SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
  CHECK_SYS(timer_settime(timer, 0, &far_away, NULL));
  return timer;
}

static void check_timers(int timerfd, timer_t timer) {
  struct itimerval interval;
  CHECK_SYS(getitimer(ITIMER_REAL, &interval));
  CHECK_RANGE(interval.it_value.tv_sec, kFarAway - 1000, kFarAway);
  struct itimerspec left;
  CHECK_SYS(timerfd_gettime(timerfd, &left));
  CHECK_RANGE(left.it_value.tv_sec, kFarAway - 1000, kFarAway);
  CHECK_SYS(timer_gettime(timer, &left));
  CHECK_RANGE(left.it_value.tv_sec, kFarAway - 1000, kFarAway);
}

int main(void) {
  block_signals();
  event_for_threads = CHECK_SYS(eventfd(0, EFD_SEMAPHORE));
  struct child_objects objects;
  int ends[2];
  CHECK_SYS(pipe(ends));
  objects.pipe = ends[0];
  objects.memory = map_memory(kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  fill_pattern(objects.memory, kMemory, 7);
  write_all(ends[1], "from the parent", 15);
  pid_t child = spawn(child_body, &objects);
  await_waiting_child(child);

  struct thread threads[kThreads];
  for (int i = 0; i < kThreads; i++) {
    start_thread(&threads[i], thread_body, (void*)(intptr_t)(20 + i));
    await_blocked(threads[i].tid, SYS_read);
  }
  struct pair tcp = connect_tcp(AF_INET);
  write_all(tcp.client, "over TCP", 8);
  await_queued(tcp.server, 8);
  int listener = listen_loopback(AF_INET, 8);
  struct pair datagrams = unix_pair(SOCK_DGRAM);
  write_all(datagrams.client, "a datagram", 10);
  int file = make_file("file", "some text");
  CHECK_SYS(lseek(file, 5, SEEK_SET));
  int timerfd = CHECK_SYS(timerfd_create(CLOCK_MONOTONIC, 0));
  int epoll = CHECK_SYS(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 77}};
  CHECK_SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, tcp.server, &event));
  timer_t timer = start_timers(timerfd);
  struct terminal terminal = open_terminal();
  queue_signals();

  workload_ready();

  check_signals();
  check_timers(timerfd, timer);
  check_terminal(terminal);
  CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1);
  CHECK_EQ(event.data.u64, 77);
  expect_text(tcp.server, "over TCP");
  check_conversation(tcp);
  int client = connect_to(local_address(listener), SOCK_STREAM);
  struct pair accepted = {client, CHECK_SYS(accept(listener, NULL, NULL))};
  check_conversation(accepted);
  expect_text(datagrams.server, "a datagram");
  expect_text(file, "text");
  check_pattern(objects.memory, kMemory, 7);
  uint64_t go = kThreads;
  CHECK_EQ(write(event_for_threads, &go, sizeof go), sizeof go);
  for (int i = 0; i < kThreads; i++) join_thread(&threads[i]);
  finish_child(child);
  return workload_ok();
}
