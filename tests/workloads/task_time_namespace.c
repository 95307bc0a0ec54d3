// Processes in time namespaces of their own: one whose children live in a namespace of theirs while
// it does not, one whose maker has ended, one that has another within. Their clocks go on as ahead
// of the group's as they were, and waits for a time on them end at that time.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_TIME
#include <sys/timerfd.h>

#include "workload_sharing.h"

enum { kFarSeconds = 10000 };

// A namespace's clocks, in seconds ahead of the group's.
struct ahead {
  int64_t monotonic, boottime;
};
static const struct ahead nowhere = {0, 0};
static const struct ahead of_children = {1000000, 3000000};
static const struct ahead of_orphan = {500, 70};
static const struct ahead within = {2000000, 1};

static struct {
  volatile pid_t inhabitant, sleeper, orphan, inner;
  volatile int64_t released;            // on the group's clock, in ms
  struct timespec monotonic, boottime;  // what the group's clocks add to the machine's
}* family;

static void read_offsets(struct timespec* monotonic, struct timespec* boottime) {
  long long seconds[2], nanoseconds[2];
  CHECK_EQ(
      sscanf(read_small_file("/proc/self/timens_offsets"), "monotonic %lld %lld boottime %lld %lld",
             &seconds[0], &nanoseconds[0], &seconds[1], &nanoseconds[1]),
      4);
  *monotonic = (struct timespec){seconds[0], nanoseconds[0]};
  *boottime = (struct timespec){seconds[1], nanoseconds[1]};
}

static void check_clocks(const struct ahead* ahead) {
  CHECK_RANGE(now_ms(CLOCK_MONOTONIC) - ahead->monotonic * 1000, family->released,
              family->released + 60000);
}

// Exactly, by what /proc tells of the caller's children.
static void check_offsets(const struct ahead* ahead) {
  struct timespec monotonic, boottime;
  read_offsets(&monotonic, &boottime);
  CHECK_EQ(monotonic.tv_sec - family->monotonic.tv_sec, ahead->monotonic);
  CHECK_EQ(monotonic.tv_nsec, family->monotonic.tv_nsec);
  CHECK_EQ(boottime.tv_sec - family->boottime.tv_sec, ahead->boottime);
  CHECK_EQ(boottime.tv_nsec, family->boottime.tv_nsec);
}

// Children of the caller live in a new namespace from now on.
static void make_namespace(const struct ahead* ahead) {
  CHECK_SYS(unshare(CLONE_NEWTIME));
  char text[128];
  int length =
      snprintf(text, sizeof text, "monotonic %lld %ld\nboottime %lld %ld\n",
               (long long)(family->monotonic.tv_sec + ahead->monotonic), family->monotonic.tv_nsec,
               (long long)(family->boottime.tv_sec + ahead->boottime), family->boottime.tv_nsec);
  int fd = CHECK_SYS(open("/proc/self/timens_offsets", O_WRONLY));
  write_all(fd, text, (size_t)length);
  CHECK_SYS(close(fd));
}

static void sleeper(void* argument) {
  const struct ahead* ahead = argument;
  const int64_t end = now_ms(CLOCK_MONOTONIC) + kWaitMs;
  const struct timespec until = timespec_of_ms(end);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) continue;
  const int64_t ended = now_ms(CLOCK_MONOTONIC);
  wait_for_go();
  const int64_t released = family->released + ahead->monotonic * 1000;
  CHECK_RANGE(ended, end, (released > end ? released : end) + kSlackMs);
}

static int64_t rest_of(int timer) {
  struct itimerspec left;
  CHECK_SYS(timerfd_gettime(timer, &left));
  return left.it_value.tv_sec;
}

// With timers for a time on its clock, one of them set when it is here again.
static void inhabitant(void* argument) {
  const struct ahead* ahead = argument;
  struct itimerspec far = {.it_value.tv_sec = now_ms(CLOCK_MONOTONIC) / 1000 + kFarSeconds};
  int timer = CHECK_SYS(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  CHECK_SYS(timerfd_settime(timer, TFD_TIMER_ABSTIME, &far, NULL));
  timer_t posix;
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  CHECK_SYS(timer_create(CLOCK_BOOTTIME, &none, &posix));
  struct itimerspec left = {.it_value.tv_sec = now_ms(CLOCK_BOOTTIME) / 1000 + kFarSeconds};
  CHECK_SYS(timer_settime(posix, TIMER_ABSTIME, &left, NULL));
  wait_for_go();
  check_clocks(ahead);
  check_offsets(ahead);
  CHECK_RANGE(rest_of(timer), kFarSeconds - 100, kFarSeconds);
  CHECK_SYS(timer_gettime(posix, &left));
  CHECK_RANGE(left.it_value.tv_sec, kFarSeconds - 100, kFarSeconds);
  CHECK_SYS(timerfd_settime(timer, TFD_TIMER_ABSTIME, &far, NULL));
  CHECK_RANGE(rest_of(timer), kFarSeconds - 100, kFarSeconds);
}

// Lives in a namespace of its own, and its children in one within that.
static void inner_maker(void* argument) {
  make_namespace(&within);
  family->inner = spawn(inhabitant, (void*)&within);
  await_waiting_child(family->inner);
  wait_for_go();
  check_clocks(argument);
  check_offsets(&within);
  finish_child(family->inner);
}

static void is_born(void* argument) {
  check_clocks(argument);
  check_offsets(argument);
}

static void maker(void* argument) {
  const pid_t elder = spawn(inhabitant, (void*)&nowhere);
  make_namespace(argument);
  family->inhabitant = spawn(inner_maker, argument);
  family->sleeper = spawn(sleeper, argument);
  await_waiting_child(elder);
  await_waiting_child(family->inhabitant);
  await_blocked(family->sleeper, SYS_clock_nanosleep);
  wait_for_go();
  check_clocks(&nowhere);
  check_offsets(argument);
  reap_child(spawn(is_born, argument));
  finish_child(elder);
  finish_child(family->inhabitant);
  await_waiting_child(family->sleeper);
  finish_child(family->sleeper);
}

static void ends(void* argument) {
  make_namespace(argument);
  family->orphan = clone_with(CLONE_PARENT, inhabitant, argument);
}

int main(void) {
  family = map_memory(sizeof *family, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  read_offsets(&family->monotonic, &family->boottime);
  pid_t eldest = spawn(maker, (void*)&of_children);
  reap_child(spawn(ends, (void*)&of_orphan));
  await_waiting_child(eldest);
  await_waiting_child(family->orphan);

  workload_ready();

  read_offsets(&family->monotonic, &family->boottime);
  family->released = now_ms(CLOCK_MONOTONIC);
  finish_child(eldest);
  finish_child(family->orphan);
  return workload_ok();
}
