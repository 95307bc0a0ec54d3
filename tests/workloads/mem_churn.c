// Memory that changes in every way while it is captured: written, unmapped, mapped anew, moved,
// dropped, protected, grown, and shared with children that change their copies. Every page tells
// from its content what it must hold.
#include "workload.h"

enum { kSlots = 48, kMaxPages = 64, kPage = kVersionedPage, kChildren = 3, kChildOps = 400 };

// Where each slot is and which version of each page it holds; version 0 is zeros.
struct slot {
  unsigned char* memory;  // null: nothing is mapped
  int pages;
  uint32_t version[kMaxPages];
};

struct churn {
  uint32_t next_version;
  struct slot slots[kSlots];
};

static struct churn* state;  // private, so a child goes on with a copy of its own
static volatile int* stop;   // shared

static void* page_of(const struct slot* slot, int page) {
  return slot->memory + (size_t)page * kPage;
}

static void write_page(struct slot* slot, int page) {
  slot->version[page] = ++state->next_version;
  fill_version(page_of(slot, page), slot->version[page]);
}

static void check_page(const struct slot* slot, int page) {
  check_version(page_of(slot, page), slot->version[page]);
}

static void map_slot(struct slot* slot) {
  slot->pages = 1 + (int)draw(kMaxPages);
  slot->memory =
      map_memory((size_t)slot->pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  memset(slot->version, 0, sizeof slot->version);
}

static void move_slot(struct slot* slot) {
  size_t size = (size_t)slot->pages * kPage;
  void* place = map_memory(size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  void* moved = mremap(slot->memory, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  CHECK(moved == place);
  slot->memory = moved;
}

static void grow_slot(struct slot* slot) {
  int pages = slot->pages + 1 + (int)draw(4);
  if (pages > kMaxPages) return;
  void* grown =
      mremap(slot->memory, (size_t)slot->pages * kPage, (size_t)pages * kPage, MREMAP_MAYMOVE);
  CHECK(grown != MAP_FAILED);
  slot->memory = grown;
  for (; slot->pages < pages; slot->pages += 1) slot->version[slot->pages] = 0;
}

static void drop_pages(struct slot* slot) {
  int first = (int)draw((uint32_t)slot->pages);
  int count = 1 + (int)draw((uint32_t)(slot->pages - first));
  CHECK_SYS(madvise(page_of(slot, first), (size_t)count * kPage, MADV_DONTNEED));
  memset(slot->version + first, 0, (size_t)count * sizeof *slot->version);
}

// A page of zeros that was written is not the same as one that was never touched, but reads alike.
static void clear_page(struct slot* slot, int page) {
  memset(page_of(slot, page), 0, kPage);
  slot->version[page] = 0;
}

static void change_something(void) {
  struct slot* slot = &state->slots[draw(kSlots)];
  if (slot->memory == NULL) {
    map_slot(slot);
    return;
  }
  int page = (int)draw((uint32_t)slot->pages);
  switch (draw(16)) {
    case 0:
      CHECK_SYS(munmap(slot->memory, (size_t)slot->pages * kPage));
      slot->memory = NULL;
      break;
    case 1: move_slot(slot); break;
    case 2: grow_slot(slot); break;
    case 3: drop_pages(slot); break;
    case 4: clear_page(slot, page); break;
    case 5:
      CHECK_SYS(mprotect(slot->memory, (size_t)slot->pages * kPage, PROT_READ));
      check_page(slot, page);
      CHECK_SYS(mprotect(slot->memory, (size_t)slot->pages * kPage, PROT_READ | PROT_WRITE));
      break;
    default: write_page(slot, page); break;
  }
}

static void check_all(void) {
  for (int i = 0; i < kSlots; i += 1)
    for (int page = 0; state->slots[i].memory != NULL && page < state->slots[i].pages; page += 1)
      check_page(&state->slots[i], page);
}

static void churn_until_stopped(void) {
  while (!*stop) change_something();
  check_all();
}

// Lives for a few changes, as a server's worker does for one connection.
static void short_life(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    for (int i = 0; i < kChildOps; i += 1) change_something();
    check_all();
    _exit(0);
  }
  reap_child(child);
}

static void* churn(void* unused) {
  while (!*stop) {
    for (int i = 0; i < 2000 && !*stop; i += 1) change_something();
    short_life();
  }
  check_all();
  return unused;
}

static void child_body(void* unused) {
  (void)unused;
  vary_random();
  churn_until_stopped();
}

int main(void) {
  stop = map_memory(kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  state = map_memory(sizeof *state, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  seed_random();
  for (int i = 0; i < 3000; i += 1) change_something();
  pid_t children[kChildren];
  for (int i = 0; i < kChildren; i += 1) children[i] = spawn(child_body, NULL);
  struct thread worker;
  start_thread(&worker, churn, NULL);
  workload_ready();
  *stop = 1;
  join_thread(&worker);
  for (int i = 0; i < kChildren; i += 1) reap_child(children[i]);
  return workload_ok();
}
