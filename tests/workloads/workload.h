// What every workload program uses; docs/testing.md tells the contract with the runner.
//
// A program sets its object up, calls workload_ready(), and checks the object's behaviour after
// that. While it is inside workload_ready() it is checkpointed and restored, or moved. SIGUSR1, the
// signal to go on, is blocked before main() begins, so all threads and children inherit it blocked.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A failed check writes one FAIL line to descriptor 1 and ends the calling process with status 1.
#define CHECK(condition) \
  ((condition) ? (void)0 : workload_fail(__FILE__, __LINE__, #condition, "false", "true"))
#define CHECK_EQ(got, want) \
  workload_check_eq((long long)(got), (long long)(want), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want) workload_check_str((got), (want), __FILE__, __LINE__, #got)
// For values that must lie in [low, high].
#define CHECK_RANGE(got, low, high)                                                               \
  workload_check_range((long long)(got), (long long)(low), (long long)(high), __FILE__, __LINE__, \
                       #got)
// The result of a call that must not return -1.
#define CHECK_SYS(call) workload_check_sys((long)(call), __FILE__, __LINE__, #call)
// A call that must return -1 with this errno.
#define CHECK_ERRNO(call, error) \
  workload_check_errno((long)(call), (error), __FILE__, __LINE__, #call)

_Noreturn void workload_fail(const char* file, int line, const char* what, const char* got,
                             const char* want);
void workload_check_eq(long long got, long long want, const char* file, int line, const char* what);
void workload_check_str(const char* got, const char* want, const char* file, int line,
                        const char* what);
void workload_check_range(long long got, long long low, long long high, const char* file, int line,
                          const char* what);
long workload_check_sys(long result, const char* file, int line, const char* what);
void workload_check_errno(long result, int error, const char* file, int line, const char* what);

// Text that the FAIL lines of this process carry from now on, such as "IPv6"; null for none.
void workload_context(const char* text);

// Writes "ready" and waits for SIGUSR1. Only the root process calls it, from any one thread.
void workload_ready(void);
// Writes "ok"; main() ends with `return workload_ok();`.
int workload_ok(void);
// Ends the program at once because this host lacks what it needs.
_Noreturn void workload_skip(const char* reason);

// Skips the program where nobody can see what a thread has open that its process has not.
void need_descriptors_of_threads(void);

// --- Children and threads

// Runs body(argument) in a child process, which ends with status 0 when body returns.
pid_t spawn(void (*body)(void* argument), void* argument);
// Waits for SIGUSR1: what a child's body does where the root calls workload_ready().
void wait_for_go(void);
// Returns when `child` waits inside wait_for_go().
void await_waiting_child(pid_t child);
// Lets a child that waits inside wait_for_go() go on, and checks that it ends with status 0.
void finish_child(pid_t child);
// Checks that a child ends with status 0.
void reap_child(pid_t child);
// Returns when the thread sleeps inside the system call `number`.
void await_blocked(pid_t thread, long number);
// Returns when the process or thread has this state letter in /proc/ID/stat.
void await_state(pid_t thread, char state);
char task_state(pid_t thread);

// A thread and its kernel id.
struct thread {
  pthread_t handle;
  pid_t tid;
  void* (*body)(void*);
  void* argument;
};
// Starts body(argument) on a thread and returns once its id is known.
void start_thread(struct thread* thread, void* (*body)(void*), void* argument);
void join_thread(struct thread* thread);
// workload_ready() beside a thread with this body, which ends when *stop is set.
void ready_beside(void* (*body)(void*), volatile int* stop);

// --- Time, in milliseconds unless the name says otherwise

int64_t now_ns(clockid_t clock);
int64_t now_ms(clockid_t clock);
struct timespec timespec_of_ms(int64_t milliseconds);

// A wait with a timeout that begins before the checkpoint and must end after it in its own time.
// The waiting thread fills started, ended and result; `length` is how long it is to wait.
enum { kWaitMs = 5000, kWaitAgeMs = 1500, kSlackMs = 1000 };
// In a container the monotonic clocks may stand still while it does not exist; who waits for an
// absolute real time sets real_time, and all is measured on that clock.
struct timed_wait {
  bool real_time;
  int64_t started;
  int64_t ended;
  int64_t released;  // when the program was told to go on
  long result;
  int error;
};
int64_t wait_clock_ms(const struct timed_wait* wait);
// Returns once the wait has lasted kWaitAgeMs.
void await_age(const struct timed_wait* wait);
// Checks that the wait lasted kWaitMs, neither cut short nor begun anew after the checkpoint.
void check_timed_wait(const struct timed_wait* wait);

// --- Memory and files

// A new directory of a tmpfs, in a buffer of the program's.
const char* make_tmpfs_directory(void);

// A pattern that depends on seed and position; the check names the first wrong byte.
void fill_pattern(void* memory, size_t size, uint64_t seed);
void check_pattern(const void* memory, size_t size, uint64_t seed);

// Random numbers of this process; a child goes on with its parent's, or has its own after
// vary_random(). The seed is in the FAIL lines.
void seed_random(void);
void vary_random(void);
uint32_t draw(uint32_t below);

// A page whose content tells its version, which is not 0; and pages of zeros, which are version 0.
enum { kVersionedPage = 4096 };
void fill_version(void* page, uint32_t version);
void check_version(const void* page, uint32_t version);

void* map_memory(size_t size, int protection, int flags);
void write_all(int fd, const void* data, size_t size);
void read_all(int fd, void* data, size_t size);
// Reads exactly the text's length and compares.
void expect_text(int fd, const char* text);
// A fresh file with this text, opened O_RDWR at offset 0.
int make_file(const char* path, const char* text);
// The whole of a small file, as a string in a static buffer of the calling thread.
const char* read_small_file(const char* path);
// The value of "Name:\tvalue" in /proc/ID/status, as a string in the same static buffer.
const char* status_field(pid_t process, const char* name);
// The line of /proc/self/smaps that begins with `name` ("VmFlags:", "Rss:") for the mapping that
// holds `address`; the returned text is what follows the name.
const char* smaps_field(const void* address, const char* name);
