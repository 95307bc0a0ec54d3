// Processes that have come into a PID namespace from outside, as nsenter brings them: into one and
// into another that lies in it, with children of theirs, in a session of their own; a parent whose
// children go on coming there, and one whose do not.
// rights: CAP_SYS_ADMIN
#include "workload_pid_namespaces.h"

static void member_body(void* ready) {
  stay_named(ready);
}

// Its parent has no number here.
static void entered_body(void* ready) {
  CHECK_EQ(getppid(), 0);
  CHECK(getpid() != 1);
  CHECK_EQ(getsid(0), 0);
  pid_t child = spawn(member_body, ready);
  stay_named(ready);
  finish_child(child);
}

static void entered_session_body(void* ready) {
  CHECK_EQ(CHECK_SYS(setsid()), getpid());
  pid_t child = spawn(member_body, ready);
  stay_named(ready);
  CHECK_EQ(getsid(child), getpid());
  finish_child(child);
}

// --- The namespaces

static void innermost_body(void* ready) {
  CHECK_EQ(getpid(), 1);
  stay_named(ready);
}

static void first_body(void* ready) {
  CHECK_EQ(getpid(), 1);
  pid_t innermost = spawn_first(innermost_body, ready);
  stay_named(ready);
  finish_child(innermost);
}

struct maker {
  struct ready* ready;
  int pipe;  // takes the number of the first process
};

static void make_body(void* argument) {
  const struct maker* maker = argument;
  pid_t first = spawn_first(first_body, maker->ready);
  write_all(maker->pipe, &first, sizeof first);
  stay_named(maker->ready);
  finish_child(first);
}

// --- Who comes from outside

struct visitor {
  struct ready* ready;
  int pipe;  // gives the number of the process whose children are to have its own as neighbours
};

static void turn_to(pid_t process, const char* name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/%s", process, name);
  int name_space = CHECK_SYS(open(path, O_RDONLY));
  CHECK_SYS(setns(name_space, CLONE_NEWPID));
  CHECK_SYS(close(name_space));
}

static pid_t number_inside(pid_t child) {
  const char* numbers = status_field(child, "NSpid");
  const char* last = strrchr(numbers, '\t');
  return (pid_t)strtol(last == NULL ? numbers : last, NULL, 10);
}

// Its children go on coming there.
static void visitor_body(void* argument) {
  const struct visitor* visitor = argument;
  struct ready own = open_ready();
  pid_t process;
  read_all(visitor->pipe, &process, sizeof process);
  turn_to(process, "pid");
  pid_t children[] = {spawn(entered_body, &own), spawn(entered_session_body, &own)};
  await_ready(&own, 4);
  const pid_t numbers[] = {number_inside(children[0]), number_inside(children[1])};
  stay_named(visitor->ready);
  for (int i = 0; i < 2; i++) CHECK_EQ(number_inside(children[i]), numbers[i]);
  pid_t late = spawn(entered_body, &own);
  CHECK(number_inside(late) > numbers[1]);
  await_ready(&own, 2);
  finish_child(late);
  for (int i = 0; i < 2; i++) finish_child(children[i]);
}

// Two namespaces further in; the next children are where it is again.
static void guest_body(void* argument) {
  const struct visitor* visitor = argument;
  struct ready own = open_ready();
  pid_t process;
  read_all(visitor->pipe, &process, sizeof process);
  turn_to(process, "pid_for_children");
  pid_t entered = spawn(entered_body, &own);
  await_ready(&own, 2);
  turn_to(getpid(), "pid");
  stay_named(visitor->ready);
  finish_child(entered);
  pid_t neighbour = spawn(member_body, &own);
  CHECK_EQ(number_inside(neighbour), neighbour);
  finish_child(neighbour);
}

int main(void) {
  need_namespaces(CLONE_NEWPID);
  struct ready ready = open_ready();
  int told[2], made[2];
  CHECK_SYS(pipe(told));
  CHECK_SYS(pipe(made));
  struct visitor visitor = {&ready, told[0]};
  struct maker maker = {&ready, made[1]};
  // In this order those that come from outside are found first.
  pid_t guest = spawn(guest_body, &visitor);
  pid_t host = spawn(visitor_body, &visitor);
  pid_t apart = spawn(make_body, &maker);
  pid_t first;
  read_all(made[0], &first, sizeof first);
  await_ready(&ready, 3);
  for (int i = 0; i < 2; i++) write_all(told[1], &first, sizeof first);
  await_ready(&ready, 2);

  workload_ready();

  finish_child(guest);
  finish_child(host);
  finish_child(apart);
  return workload_ok();
}
