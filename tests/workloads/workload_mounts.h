// What programs that look at their mounts share.
#pragma once

#include <limits.h>
#include <sys/mount.h>

#include "workload.h"

enum { kMostMounts = 128, kLongestMount = 1024 };

struct mount_line {
  int id, parent;
  char root[256], point[256], options[128], propagation[64], type[32];
};

// Of "shared:5 master:3" the words alone.
static inline void read_propagation(const char* fields, struct mount_line* out) {
  static const char* const kWords[] = {"shared:", "master:", "unbindable"};
  out->propagation[0] = 0;
  const char* end = strstr(fields, " - ");
  for (size_t i = 0; i < sizeof kWords / sizeof *kWords; i++) {
    const char* at = strstr(fields, kWords[i]);
    if (at != NULL && at < end) strcat(out->propagation, kWords[i]);
  }
  sscanf(end, " - %31s", out->type);
}

static inline int read_mounts(struct mount_line* lines) {
  FILE* table = fopen("/proc/self/mountinfo", "r");
  CHECK(table != NULL);
  int count = 0;
  char line[kLongestMount];
  while (fgets(line, sizeof line, table) != NULL) {
    CHECK(count < kMostMounts);
    struct mount_line* out = &lines[count++];
    int fields = 0;
    CHECK_EQ(sscanf(line, "%d %d %*s %255s %255s %127s%n", &out->id, &out->parent, out->root,
                    out->point, out->options, &fields),
             5);
    read_propagation(line + fields, out);
  }
  fclose(table);
  return count;
}

static inline int compare_texts(const void* a, const void* b) {
  return strcmp(a, b);
}

// What is mounted where, on what, and how it behaves, without the numbers that the kernel gives. In
// a buffer of the caller's.
static inline void describe_mounts(char* out, size_t size) {
  static struct mount_line lines[kMostMounts];
  static char texts[kMostMounts][kLongestMount];
  const int count = read_mounts(lines);
  for (int i = 0; i < count; i++) {
    const char* below = "";
    for (int j = 0; j < count; j++)
      if (lines[j].id == lines[i].parent) below = lines[j].point;
    snprintf(texts[i], sizeof texts[i], "%s of %s (%s) on %s: %s %s\n", lines[i].point,
             lines[i].root, lines[i].type, below, lines[i].options, lines[i].propagation);
  }
  qsort(texts, (size_t)count, sizeof *texts, compare_texts);
  size_t used = 0;
  for (int i = 0; i < count; i++) {
    CHECK(used + strlen(texts[i]) < size);
    used += (size_t)snprintf(out + used, size - used, "%s", texts[i]);
  }
}

enum { kMountTable = 32768 };

// Fails with the first line that differs.
static inline void expect_mounts(const char* before) {
  static char now[kMountTable];
  describe_mounts(now, sizeof now);
  for (const char *a = now, *b = before; *a != 0 || *b != 0;) {
    const size_t length_a = strcspn(a, "\n"), length_b = strcspn(b, "\n");
    static char line_a[kLongestMount], line_b[kLongestMount];
    snprintf(line_a, sizeof line_a, "%.*s", (int)length_a, a);
    snprintf(line_b, sizeof line_b, "%.*s", (int)length_b, b);
    CHECK_STR(line_a, line_b);
    a += length_a + (a[length_a] != 0);
    b += length_b + (b[length_b] != 0);
  }
}

static inline bool is_there(const char* path) {
  return access(path, F_OK) == 0;
}

static inline void write_file(const char* path, const char* text) {
  CHECK_SYS(close(make_file(path, text)));
}

static inline void bind_at(const char* from, const char* to) {
  CHECK_SYS(mount(from, to, NULL, MS_BIND, NULL));
}

static inline void spread_mounts(const char* point, unsigned long type) {
  CHECK_SYS(mount(NULL, point, NULL, type, NULL));
}
