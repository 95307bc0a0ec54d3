// PID namespaces whose processes write their memory while it is captured: one that stays, with
// processes that come and go in it, and others that come and go as a whole. Every page tells from
// its content what it must hold.
// rights: CAP_SYS_ADMIN
#include "workload_namespaces.h"

enum { kPage = kVersionedPage, kPages = 512, kMakers = 2, kWrites = 3000 };

static unsigned char* memory;  // private, so a child goes on with a copy of its own
static uint32_t version[kPages];
static uint32_t next_version;
static volatile int* stop;  // shared

static void write_pages(int count) {
  for (int i = 0; i < count; i += 1) {
    int page = (int)draw(kPages);
    version[page] = ++next_version;
    fill_version(memory + (size_t)page * kPage, version[page]);
  }
}

static void check_all(void) {
  for (int page = 0; page < kPages; page += 1)
    check_version(memory + (size_t)page * kPage, version[page]);
}

static void short_life(void* writes) {
  write_pages(*(int*)writes);
  check_all();
}

static void beside_first(void* unused) {
  (void)unused;
  vary_random();
  while (!*stop) write_pages(100);
  check_all();
}

static void first_that_stays(void* unused) {
  (void)unused;
  CHECK_EQ(getpid(), 1);
  pid_t beside = spawn(beside_first, NULL);
  while (!*stop) {
    int writes = kWrites;
    write_pages(1000);
    reap_child(spawn(short_life, &writes));
  }
  check_all();
  reap_child(beside);
}

// Its end takes the rest of the namespace along, in the middle of what that does.
static void first_that_goes(void) {
  CHECK_EQ(getpid(), 1);
  int for_ever = 1 << 30;
  spawn(short_life, &for_ever);
  spawn(short_life, &for_ever);
  write_pages(kWrites);
  check_all();
}

static void make_namespaces(void* unused) {
  (void)unused;
  vary_random();
  while (!*stop) {
    pid_t first = CHECK_SYS(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
    if (first == 0) {
      first_that_goes();
      _exit(0);
    }
    write_pages(100);
    reap_child(first);
  }
  check_all();
}

int main(void) {
  need_namespaces(CLONE_NEWPID);
  stop = map_memory(kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  memory = map_memory((size_t)kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  seed_random();
  write_pages(kPages);
  pid_t makers[kMakers];
  for (int i = 0; i < kMakers; i += 1) makers[i] = spawn(make_namespaces, NULL);
  CHECK_SYS(unshare(CLONE_NEWPID));
  pid_t stays = spawn(first_that_stays, NULL);
  workload_ready();
  *stop = 1;
  for (int i = 0; i < kMakers; i += 1) reap_child(makers[i]);
  reap_child(stays);
  return workload_ok();
}
