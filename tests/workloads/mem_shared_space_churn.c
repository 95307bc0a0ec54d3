// Memory that several processes have in common (CLONE_VM) and all write while it is captured. Every
// page tells from its content what it must hold.
#include "workload_sharers.h"

enum { kSharers = 3, kPages = 512, kSpans = 16, kPage = kVersionedPage };

// Of one process; the versions are in memory of all processes, which is captured apart from this.
struct part {
  unsigned char* memory;
  uint32_t* version;
  uint32_t next;
  uint32_t random;
};

static volatile int* stop;

static uint32_t draw_of(struct part* part, uint32_t below) {
  part->random = part->random * 1664525 + 1013904223;
  return (part->random >> 8) % below;
}

static void write_page(struct part* part, uint32_t page) {
  part->version[page] = ++part->next;
  fill_version(part->memory + (size_t)page * kPage, part->next);
}

static void drop_span(struct part* part) {
  const uint32_t span = kPages / kSpans;
  const uint32_t first = draw_of(part, kSpans) * span;
  CHECK_SYS(madvise(part->memory + (size_t)first * kPage, (size_t)span * kPage, MADV_DONTNEED));
  memset(part->version + first, 0, span * sizeof *part->version);
}

static void change(struct part* part) {
  if (draw_of(part, 200) == 0)
    drop_span(part);
  else
    write_page(part, draw_of(part, kPages));
}

static void check_all(const struct part* part) {
  for (size_t page = 0; page < kPages; page += 1)
    check_version(part->memory + page * kPage, part->version[page]);
}

static void churn(void* argument) {
  while (!*stop) change(argument);
  check_all(argument);
}

static void* churn_here(void* argument) {
  churn(argument);
  return NULL;
}

int main(void) {
  static struct part parts[kSharers + 1];
  stop = map_memory(kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  for (uint32_t i = 0; i <= kSharers; i += 1) {
    parts[i].memory =
        map_memory(kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    parts[i].version =
        map_memory(kPages * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
    parts[i].random = i;
    for (uint32_t page = 0; page < kPages; page += 1) write_page(&parts[i], page);
  }
  struct sharer* sharers[kSharers];
  for (uint32_t i = 0; i < kSharers; i += 1) sharers[i] = start_sharer(0, churn, &parts[i]);
  struct thread worker;
  start_thread(&worker, churn_here, &parts[kSharers]);

  workload_ready();

  *stop = 1;
  join_thread(&worker);
  for (uint32_t i = 0; i < kSharers; i += 1) {
    reap_child(sharers[i]->pid);
    free_sharer(sharers[i]);
    check_all(&parts[i]);
  }
  return workload_ok();
}
