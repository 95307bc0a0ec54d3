#include <stdarg.h>
#include <sys/prctl.h>

#include "workload.h"

static const char* fail_context;
static _Thread_local char text_buffer[64 * 1024];

static sigset_t go_signal(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  return set;
}

__attribute__((constructor)) static void block_go_signal(void) {
  sigset_t set = go_signal();
  sigprocmask(SIG_BLOCK, &set, NULL);
}

// One write(2), so that lines of several processes never mix.
__attribute__((format(printf, 1, 2))) static void put_line(const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (size > (int)sizeof line - 1) size = sizeof line - 1;
  ssize_t written = write(1, line, size);
  (void)written;
}

void workload_context(const char* text) {
  fail_context = text;
}

void workload_fail(const char* file, int line, const char* what, const char* got,
                   const char* want) {
  put_line("FAIL %s:%d: %s (got %s, want %s)%s%s\n", file, line, what, got, want,
           fail_context ? " with " : "", fail_context ? fail_context : "");
  _exit(1);
}

void workload_check_eq(long long got, long long want, const char* file, int line,
                       const char* what) {
  if (got == want) return;
  char got_text[32];
  char want_text[32];
  snprintf(got_text, sizeof got_text, "%lld", got);
  snprintf(want_text, sizeof want_text, "%lld", want);
  workload_fail(file, line, what, got_text, want_text);
}

void workload_check_str(const char* got, const char* want, const char* file, int line,
                        const char* what) {
  if (strcmp(got, want) != 0) workload_fail(file, line, what, got, want);
}

void workload_check_range(long long got, long long low, long long high, const char* file, int line,
                          const char* what) {
  if (got >= low && got <= high) return;
  char got_text[32];
  char want_text[64];
  snprintf(got_text, sizeof got_text, "%lld", got);
  snprintf(want_text, sizeof want_text, "%lld to %lld", low, high);
  workload_fail(file, line, what, got_text, want_text);
}

long workload_check_sys(long result, const char* file, int line, const char* what) {
  if (result == -1) workload_fail(file, line, what, strerror(errno), "success");
  return result;
}

void workload_check_errno(long result, int error, const char* file, int line, const char* what) {
  if (result != -1) workload_fail(file, line, what, "success", strerror(error));
  if (errno != error) workload_fail(file, line, what, strerror(errno), strerror(error));
}

// --- The contract with the runner

void wait_for_go(void) {
  sigset_t set = go_signal();
  // A stop or a freeze may end sigwaitinfo with EINTR; that it must not is the matter of
  // block_sigtimedwait.c alone.
  while (sigwaitinfo(&set, NULL) == -1) CHECK_EQ(errno, EINTR);
}

void workload_ready(void) {
  put_line("ready\n");
  wait_for_go();
}

int workload_ok(void) {
  put_line("ok\n");
  return 0;
}

void workload_skip(const char* reason) {
  put_line("skip %s\n", reason);
  exit(0);
}

void need_descriptors_of_threads(void) {
  int fd = (int)syscall(SYS_pidfd_open, (int)syscall(SYS_gettid), O_EXCL);
  if (fd < 0) workload_skip("no descriptors of threads before Linux 6.9");
  close(fd);
}

// --- Children and threads

pid_t spawn(void (*body)(void*), void* argument) {
  pid_t child = CHECK_SYS(fork());
  if (child == 0) {
    body(argument);
    _exit(0);
  }
  return child;
}

void reap_child(pid_t child) {
  int status = 0;
  CHECK_EQ(CHECK_SYS(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
}

void finish_child(pid_t child) {
  CHECK_SYS(kill(child, SIGUSR1));
  reap_child(child);
}

static void yield_shortly(void) {
  struct timespec moment = {0, 500 * 1000};
  nanosleep(&moment, NULL);
}

static void read_text(const char* path, char* buffer, size_t size) {
  int fd = CHECK_SYS(open(path, O_RDONLY | O_CLOEXEC));
  size_t used = 0;
  while (used < size - 1) {
    ssize_t count = read(fd, buffer + used, size - 1 - used);
    if (count <= 0) break;
    used += count;
  }
  buffer[used] = 0;
  close(fd);
}

const char* read_small_file(const char* path) {
  read_text(path, text_buffer, sizeof text_buffer);
  return text_buffer;
}

void await_blocked(pid_t thread, long number) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/syscall", thread);
  for (;;) {
    char text[256];
    read_text(path, text, sizeof text);
    char* end;
    long current = strtol(text, &end, 10);
    if (end != text && current == number) return;
    // Inside a container the call of a child with other credentials is not to be seen.
    if (text[0] == 0 && task_state(thread) == 'S') return;
    yield_shortly();
  }
}

void await_waiting_child(pid_t child) {
  await_blocked(child, SYS_rt_sigtimedwait);
}

char task_state(pid_t thread) {
  char path[64];
  char text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", thread);
  read_text(path, text, sizeof text);
  const char* end_of_name = strrchr(text, ')');
  CHECK(end_of_name != NULL);
  return end_of_name[2];
}

void await_state(pid_t thread, char state) {
  while (task_state(thread) != state) yield_shortly();
}

static void* run_thread(void* argument) {
  struct thread* thread = argument;
  __atomic_store_n(&thread->tid, gettid(), __ATOMIC_RELEASE);
  return thread->body(thread->argument);
}

void start_thread(struct thread* thread, void* (*body)(void*), void* argument) {
  *thread = (struct thread){.body = body, .argument = argument};
  CHECK_EQ(pthread_create(&thread->handle, NULL, run_thread, thread), 0);
  while (__atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE) == 0) sched_yield();
}

void join_thread(struct thread* thread) {
  CHECK_EQ(pthread_join(thread->handle, NULL), 0);
  // For the kernel it may still be a thread of the process.
  while (syscall(SYS_tgkill, getpid(), thread->tid, 0) == 0) sched_yield();
}

void ready_beside(void* (*body)(void*), volatile int* stop) {
  struct thread thread;
  start_thread(&thread, body, NULL);
  workload_ready();
  *stop = 1;
  join_thread(&thread);
}

const char* make_tmpfs_directory(void) {
  static char directory[] = "/dev/shm/workload-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  return directory;
}

// --- Time

int64_t now_ns(clockid_t clock) {
  struct timespec time;
  CHECK_SYS(clock_gettime(clock, &time));
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int64_t now_ms(clockid_t clock) {
  return now_ns(clock) / 1000000;
}

struct timespec timespec_of_ms(int64_t milliseconds) {
  return (struct timespec){.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
}

int64_t wait_clock_ms(const struct timed_wait* wait) {
  return now_ms(wait->real_time ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

void await_age(const struct timed_wait* wait) {
  while (wait_clock_ms(wait) < wait->started + kWaitAgeMs) yield_shortly();
}

void check_timed_wait(const struct timed_wait* wait) {
  // One millisecond for the rounding of both ends.
  CHECK_RANGE(wait->ended - wait->started, kWaitMs - 1, INT64_MAX);
  // Clocks may go on while the program does not exist, so only what follows the release is bounded.
  CHECK_RANGE(wait->ended - wait->released, INT64_MIN, kWaitMs - kWaitAgeMs + kSlackMs);
}

// --- Memory and files

static uint64_t pattern_word(uint64_t seed, uint64_t index) {
  uint64_t value = (seed + 1) * 0x9e3779b97f4a7c15ULL + index * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 31)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 29);
}

void fill_pattern(void* memory, size_t size, uint64_t seed) {
  unsigned char* bytes = memory;
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = pattern_word(seed, at / 8);
    memcpy(bytes + at, &word, size - at < 8 ? size - at : 8);
  }
}

void check_pattern(const void* memory, size_t size, uint64_t seed) {
  const unsigned char* bytes = memory;
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = pattern_word(seed, at / 8);
    size_t length = size - at < 8 ? size - at : 8;
    if (memcmp(bytes + at, &word, length) == 0) continue;
    char got[96];
    snprintf(got, sizeof got, "a difference in the 8 bytes at %zu of %zu, first byte %02x", at,
             size, bytes[at]);
    workload_fail(__FILE__, __LINE__, "pattern", got, "none");
  }
}

static uint64_t random_state;

void seed_random(void) {
  static char seed[64];
  random_state = (uint64_t)now_ns(CLOCK_REALTIME);
  snprintf(seed, sizeof seed, "seed %llu", (unsigned long long)random_state);
  workload_context(seed);
}

void vary_random(void) {
  random_state += (uint64_t)getpid();
}

uint32_t draw(uint32_t below) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(random_state >> 33) % below;
}

static uint64_t word_of(uint32_t version, int word) {
  return version == 0 ? 0 : ((uint64_t)version << 32) ^ (uint64_t)word * 0x9e3779b9u;
}

void fill_version(void* page, uint32_t version) {
  uint64_t* words = page;
  for (int i = 0; i < kVersionedPage / 8; i += 1) words[i] = word_of(version, i);
}

void check_version(const void* page, uint32_t version) {
  const uint64_t* words = page;
  for (int i = 0; i < kVersionedPage / 8; i += 1) CHECK_EQ(words[i], word_of(version, i));
}

void* map_memory(size_t size, int protection, int flags) {
  void* memory = mmap(NULL, size, protection, flags | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

void write_all(int fd, const void* data, size_t size) {
  const char* bytes = data;
  while (size > 0) {
    size_t count = CHECK_SYS(write(fd, bytes, size));
    bytes += count;
    size -= count;
  }
}

void read_all(int fd, void* data, size_t size) {
  char* bytes = data;
  while (size > 0) {
    size_t count = CHECK_SYS(read(fd, bytes, size));
    CHECK(count != 0);
    bytes += count;
    size -= count;
  }
}

void expect_text(int fd, const char* text) {
  char buffer[4096] = {0};
  CHECK(strlen(text) < sizeof buffer);
  read_all(fd, buffer, strlen(text));
  CHECK_STR(buffer, text);
}

int make_file(const char* path, const char* text) {
  int fd = CHECK_SYS(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
  write_all(fd, text, strlen(text));
  CHECK_SYS(lseek(fd, 0, SEEK_SET));
  return fd;
}

const char* status_field(pid_t process, const char* name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", process);
  read_text(path, text_buffer, sizeof text_buffer);
  char* save;
  for (char* line = strtok_r(text_buffer, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0 || line[length] != ':') continue;
    return line + length + 1 + strspn(line + length + 1, " \t");
  }
  workload_fail(__FILE__, __LINE__, name, "no such line", "a line of /proc/PID/status");
}

const char* smaps_field(const void* address, const char* name) {
  FILE* file = fopen("/proc/self/smaps", "re");
  CHECK(file != NULL);
  bool inside = false;
  while (fgets(text_buffer, sizeof text_buffer, file)) {
    unsigned long start;
    unsigned long end;
    if (sscanf(text_buffer, "%lx-%lx ", &start, &end) == 2) {
      inside = (uintptr_t)address >= start && (uintptr_t)address < end;
    } else if (inside && strncmp(text_buffer, name, strlen(name)) == 0) {
      fclose(file);
      return text_buffer + strlen(name);
    }
  }
  workload_fail(__FILE__, __LINE__, name, "no such line", "a line of /proc/self/smaps");
}
