// A process that executes itself again and again, each time leaving its memory to another one that
// shares it (CLONE_VM) and goes on changing it. All of them have theirs at the same addresses.
// Every page tells from its content what it must hold.
#include <sys/personality.h>

#include "workload_sharers.h"

enum { kSlots = 3, kPages = 256, kPage = kVersionedPage, kShared = 100, kStay = 20000 };
static unsigned char* const kMemory = (unsigned char*)0x10000000000;

// Of one generation's memory; it is in memory of all.
struct part {
  volatile int leave;
  volatile pid_t pid;
  volatile uint32_t next;
  uint32_t random;
  uint32_t version[kPages];
};

static struct {
  volatile int stop;
  volatile int generation;
  struct part parts[kSlots];
}* family;

static void change(struct part* part) {
  part->random = part->random * 1664525 + 1013904223;
  uint32_t page = (part->random >> 8) % kPages;
  part->version[page] = part->next + 1;
  part->next += 1;
  fill_version(kMemory + (size_t)page * kPage, part->next);
}

static void churn(void* argument) {
  struct part* part = argument;
  while (!family->stop && !part->leave) change(part);
  for (size_t page = 0; page < kPages; page += 1)
    check_version(kMemory + page * kPage, part->version[page]);
}

static void reap(struct part* part) {
  if (part->pid == 0) return;
  part->leave = 1;
  reap_child(part->pid);
  memset(part, 0, sizeof *part);
}

static void map_family(void) {
  family = mmap(NULL, sizeof *family, PROT_READ | PROT_WRITE, MAP_SHARED, kShared, 0);
  CHECK(family != MAP_FAILED);
}

static int live_as(int generation) {
  map_family();
  struct part* part = &family->parts[generation % kSlots];
  reap(part);
  CHECK(mmap(kMemory, kPages * kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == kMemory);
  part->random = (uint32_t)generation;
  part->pid = start_sharer(0, churn, part)->pid;
  family->generation = generation;
  while (part->next < kStay && !family->stop) sched_yield();
  if (!family->stop) {
    char text[16];
    snprintf(text, sizeof text, "%d", generation + 1);
    CHECK_SYS(execl("/proc/self/exe", "generation", text, NULL));
  }
  for (int i = 0; i < kSlots; i += 1) reap(&family->parts[i]);
  return 0;
}

// Without it, what one generation has is elsewhere in the next.
static void begin(void* unused) {
  (void)unused;
  CHECK_SYS(personality(ADDR_NO_RANDOMIZE));
  CHECK_SYS(execl("/proc/self/exe", "generation", "0", NULL));
}

int main(int count, char** arguments) {
  if (count > 1) return live_as(atoi(arguments[1]));
  int fd = CHECK_SYS(memfd_create("family", 0));
  CHECK_SYS(ftruncate(fd, sizeof *family));
  CHECK_SYS(dup2(fd, kShared));
  CHECK_SYS(close(fd));
  map_family();
  pid_t child = spawn(begin, NULL);
  while (family->generation < kSlots) sched_yield();

  workload_ready();

  family->stop = 1;
  reap_child(child);
  return workload_ok();
}
