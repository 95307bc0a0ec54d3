// POSIX timers: their ids (also with gaps), clocks, remaining time and periods, the value and the
// thread they signal, disarmed ones, and one that expired while its signal was blocked.
#include "workload.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static int create(clockid_t clock, int notify, int number, int value, pid_t thread) {
  struct sigevent event = {0};
  event.sigev_notify = notify;
  event.sigev_signo = number;
  event.sigev_value.sival_int = value;
  event.sigev_notify_thread_id = thread;
  int id = -1;
  CHECK_SYS(syscall(SYS_timer_create, clock, &event, &id));
  return id;
}

static void arm(int id, int64_t value_ms, int64_t interval_ms, int flags) {
  struct itimerspec spec = {timespec_of_ms(interval_ms), timespec_of_ms(value_ms)};
  CHECK_SYS(syscall(SYS_timer_settime, id, flags, &spec, NULL));
}

static struct itimerspec left(int id) {
  struct itimerspec spec;
  CHECK_SYS(syscall(SYS_timer_gettime, id, &spec));
  return spec;
}

static siginfo_t take(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), number);
  CHECK_EQ(info.si_code, SI_TIMER);
  return info;
}

static pthread_barrier_t barrier;
static int thread_timer;

static void* work(void* argument) {
  thread_timer = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 4, 44, gettid());
  pthread_barrier_wait(&barrier);
  arm(thread_timer, 1, 0, 0);
  CHECK_EQ(take(SIGRTMIN + 4).si_value.sival_int, 44);
  return argument;
}

int main(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  struct timed_wait wait = {.started = now_ms(CLOCK_MONOTONIC)};
  int once = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 11, 0);
  int deleted = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int periodic = create(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGRTMIN + 2, 22, 0);
  int absolute = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 3, 33, 0);
  int silent = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int idle = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 5, 55, 0);
  int expired = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 6, 66, 0);
  CHECK_SYS(syscall(SYS_timer_delete, deleted));
  arm(once, kWaitMs, 0, 0);
  arm(periodic, 30, 30, 0);
  struct timed_wait real_wait = {.real_time = true, .started = now_ms(CLOCK_REALTIME)};
  arm(absolute, real_wait.started + kWaitMs + 1, 0, TIMER_ABSTIME);
  arm(silent, 1000000, 5000, 0);
  arm(expired, 1, 0, 0);
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  struct thread thread;
  start_thread(&thread, work, NULL);
  await_blocked(thread.tid, SYS_futex);
  await_age(&wait);

  workload_ready();

  wait.released = wait_clock_ms(&wait);
  real_wait.released = wait_clock_ms(&real_wait);
  CHECK_EQ(take(SIGRTMIN + 6).si_value.sival_int, 66);
  CHECK_EQ(left(expired).it_value.tv_sec, 0);
  CHECK_EQ(take(SIGRTMIN + 2).si_value.sival_int, 22);
  CHECK_EQ(take(SIGRTMIN + 2).si_value.sival_int, 22);
  CHECK_EQ(left(periodic).it_interval.tv_nsec, 30000000);
  CHECK_RANGE(left(silent).it_value.tv_sec, 900, 999);
  CHECK_EQ(left(silent).it_interval.tv_sec, 5);
  CHECK_EQ(left(idle).it_value.tv_sec + left(idle).it_value.tv_nsec, 0);
  CHECK_ERRNO(syscall(SYS_timer_gettime, deleted, &(struct itimerspec){0}), EINVAL);
  siginfo_t info = take(SIGRTMIN + 1);
  CHECK_EQ(info.si_value.sival_int, 11);
  CHECK_EQ(info.si_timerid, once);
  wait.ended = wait_clock_ms(&wait);
  check_timed_wait(&wait);
  CHECK_EQ(take(SIGRTMIN + 3).si_value.sival_int, 33);
  real_wait.ended = wait_clock_ms(&real_wait);
  check_timed_wait(&real_wait);
  pthread_barrier_wait(&barrier);
  join_thread(&thread);
  arm(idle, 1, 0, 0);
  CHECK_EQ(take(SIGRTMIN + 5).si_value.sival_int, 55);
  // A new timer gets an id of its own.
  int fresh = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int others[] = {once, periodic, absolute, silent, idle, expired, thread_timer};
  for (int i = 0; i < 7; i++) CHECK(fresh != others[i]);
  return workload_ok();
}
