// Guard regions of shared mappings: a touch is a fault in the process that has installed the guard
// and in no other, the object keeps the content behind it, and when the guard is removed that is
// seen again.
#include "workload_faults.h"

enum { kPage = 4096, kPages = 16, kSize = kPages * kPage, kGuardInstall = 102, kGuardRemove = 103 };

static char* anonymous;

static void install(char* first, size_t pages) {
  if (madvise(first, pages * kPage, kGuardInstall) != 0)
    workload_skip("this kernel has no guard regions in shared memory");
}

static char* map_file(int fd, int protection) {
  CHECK_SYS(ftruncate(fd, kSize));
  char* memory = mmap(NULL, kSize, protection, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

// Page 4, 5 and 15 are guarded, everything else is there.
static void check_guards(char* memory, uint64_t seed) {
  for (int page = 0; page < kPages; ++page)
    CHECK_EQ(fault_at(memory + page * kPage), page == 4 || page == 5 || page == 15 ? SIGSEGV : 0);
  check_pattern(memory, 4 * kPage, seed);
  CHECK_SYS(madvise(memory + 4 * kPage, 2 * kPage, kGuardRemove));
  CHECK_SYS(madvise(memory + 15 * kPage, kPage, kGuardRemove));
  check_pattern(memory, kSize, seed);
}

// It has the same object and a guard of its own, which its parent has not.
static void child_body(void* argument) {
  (void)argument;
  CHECK_SYS(madvise(anonymous, kSize, kGuardRemove));
  install(anonymous + 8 * kPage, 1);
  wait_for_go();
  for (int page = 0; page < kPages; ++page)
    CHECK_EQ(fault_at(anonymous + page * kPage), page == 8 ? SIGSEGV : 0);
  CHECK_SYS(madvise(anonymous + 8 * kPage, kPage, kGuardRemove));
  check_pattern(anonymous, kSize, 1);
}

int main(void) {
  CHECK(signal(SIGSEGV, on_fault) != SIG_ERR);
  int file = make_file("file", "");
  int memfd = memfd_create("memory", 0);
  anonymous = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  char* mappings[] = {anonymous, map_file(memfd, PROT_READ | PROT_WRITE),
                      map_file(file, PROT_READ | PROT_WRITE)};
  for (int i = 0; i < 3; ++i) {
    fill_pattern(mappings[i], kSize, 1 + i);
    install(mappings[i] + 4 * kPage, 2);
    install(mappings[i] + 15 * kPage, 1);
  }
  // Nothing was ever touched but by the guard.
  char* untouched = map_file(memfd, PROT_READ);
  install(untouched + 3 * kPage, 1);
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);

  workload_ready();

  CHECK_EQ(fault_at(untouched + 3 * kPage), SIGSEGV);
  CHECK_EQ(fault_at(untouched + 2 * kPage), 0);
  for (int i = 0; i < 3; ++i) check_guards(mappings[i], 1 + i);
  finish_child(child);
  return workload_ok();
}
