// inotify whose events come all the time and are read a moment later: none is lost, and none comes
// twice.
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "workload.h"

static int watcher;
static int answer;
static atomic_bool finished;
static int made;
static int seen;

static void rest(void) {
  struct timespec moment = timespec_of_ms(1);
  nanosleep(&moment, NULL);
}

static void* make_files(void* unused) {
  (void)unused;
  while (!finished) {
    char name[32];
    snprintf(name, sizeof name, "directory/%d", made++);
    close(make_file(name, ""));
    eventfd_t one;
    CHECK_SYS(eventfd_read(answer, &one));
    CHECK_SYS(unlink(name));
    rest();
  }
  close(make_file("directory/last", ""));
  return NULL;
}

static void* read_events(void* unused) {
  (void)unused;
  for (;;) {
    _Alignas(struct inotify_event) char buffer[4096];
    rest();
    CHECK_RANGE(CHECK_SYS(read(watcher, buffer, sizeof buffer)), 1, 64);
    const struct inotify_event* event = (const struct inotify_event*)buffer;
    CHECK_EQ(event->mask, IN_CREATE);
    if (strcmp(event->name, "last") == 0) return NULL;
    CHECK_EQ(atoi(event->name), seen);
    seen++;
    CHECK_SYS(eventfd_write(answer, 1));
  }
}

int main(void) {
  CHECK_SYS(mkdir("directory", 0700));
  watcher = CHECK_SYS(inotify_init1(IN_CLOEXEC));
  answer = CHECK_SYS(eventfd(0, EFD_CLOEXEC));
  CHECK_SYS(inotify_add_watch(watcher, "directory", IN_CREATE));
  struct thread maker, reader;
  start_thread(&reader, read_events, NULL);
  start_thread(&maker, make_files, NULL);

  workload_ready();

  finished = true;
  join_thread(&maker);
  join_thread(&reader);
  CHECK_EQ(seen, made);
  return workload_ok();
}
