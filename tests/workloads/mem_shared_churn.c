// Shared memory that changes in every way while it is captured: through a mapping, through one that
// comes and goes, through a descriptor, by a child that lives for one write; holes are punched and
// read again, the file becomes shorter and longer, and is another one. Every page tells from its
// content what it must hold.
#include "workload.h"

enum { kPages = 300, kPage = kVersionedPage, kSize = kPages * kPage };

struct object {
  int fd;  // -1: anonymous
  unsigned char* memory;
  uint32_t version[kPages];  // 0: zeros
};

static struct object objects[2];
static uint32_t next_version;
static volatile int stop;

static void check_page(const struct object* object, int page) {
  check_version(object->memory + (size_t)page * kPage, object->version[page]);
}

static void make_object(struct object* object, int is_file) {
  object->fd = is_file ? CHECK_SYS(memfd_create("churn", 0)) : -1;
  if (is_file) CHECK_SYS(ftruncate(object->fd, kSize));
  object->memory = mmap(NULL, kSize, PROT_READ | PROT_WRITE,
                        MAP_SHARED | (is_file ? 0 : MAP_ANONYMOUS), object->fd, 0);
  CHECK(object->memory != MAP_FAILED);
  memset(object->version, 0, sizeof object->version);
}

static void replace_object(struct object* object) {
  int is_file = object->fd >= 0;
  CHECK_SYS(munmap(object->memory, kSize));
  if (is_file) close(object->fd);
  make_object(object, is_file);
}

static void write_in_child(struct object* object, int page) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    fill_version(object->memory + (size_t)page * kPage, object->version[page]);
    _exit(0);
  }
  reap_child(child);
}

static void write_through_passing_mapping(struct object* object, int page) {
  void* place =
      mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, object->fd, (off_t)page * kPage);
  CHECK(place != MAP_FAILED);
  fill_version(place, object->version[page]);
  CHECK_SYS(munmap(place, kPage));
}

static void write_through_descriptor(struct object* object, int page) {
  uint64_t block[kPage / 8];
  fill_version(block, object->version[page]);
  CHECK_EQ(pwrite(object->fd, block, kPage, (off_t)page * kPage), kPage);
}

static void write_page(struct object* object, int page) {
  object->version[page] = ++next_version;
  switch (draw(object->fd >= 0 ? 16 : 12)) {
    case 0: write_in_child(object, page); break;
    case 12:
    case 13: write_through_passing_mapping(object, page); break;
    case 14:
    case 15: write_through_descriptor(object, page); break;
    default: fill_version(object->memory + (size_t)page * kPage, object->version[page]); break;
  }
}

static void punch(struct object* object, int first, int count) {
  CHECK_SYS(madvise(object->memory + (size_t)first * kPage, (size_t)count * kPage, MADV_REMOVE));
  memset(object->version + first, 0, (size_t)count * sizeof *object->version);
  check_page(object, first);
}

// Of the last page the beginning is left, which is cleared as well.
static void shorten_and_lengthen(struct object* object, int pages) {
  CHECK_SYS(ftruncate(object->fd, (off_t)pages * kPage + 100));
  CHECK_SYS(ftruncate(object->fd, kSize));
  memset(object->memory + (size_t)pages * kPage, 0, 100);
  memset(object->version + pages, 0, (size_t)(kPages - pages) * sizeof *object->version);
}

static void change_something(void) {
  struct object* object = &objects[draw(2)];
  int page = (int)draw(kPages);
  switch (draw(400)) {
    case 0: replace_object(object); break;
    case 1:
      if (object->fd >= 0) shorten_and_lengthen(object, page);
      break;
    case 2:
    case 3:
    case 4:
    case 5: punch(object, page, 1 + (int)draw((uint32_t)(kPages - page))); break;
    default: write_page(object, page); break;
  }
}

static void check_all(void) {
  for (int i = 0; i < 2; i += 1)
    for (int page = 0; page < kPages; page += 1) check_page(&objects[i], page);
}

static void* churn(void* unused) {
  while (!stop) change_something();
  check_all();
  return unused;
}

int main(void) {
  seed_random();
  make_object(&objects[0], 0);
  make_object(&objects[1], 1);
  for (int i = 0; i < 2000; i += 1) change_something();
  check_all();
  ready_beside(churn, &stop);
  check_all();
  return workload_ok();
}
