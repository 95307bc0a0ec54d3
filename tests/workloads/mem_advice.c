// madvise flags: they show in smaps, and those that concern fork do what they say.
#include "workload.h"

enum { kPage = 4096, kSize = 4 << 20 };

static char* advised(int advice) {
  char* memory = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memory[0] = 'a';
  if (madvise(memory, kSize, advice) == 0) return memory;
  CHECK_EQ(errno, EINVAL);  // a kernel without that feature
  CHECK_SYS(munmap(memory, kSize));
  return NULL;
}

static const struct {
  int advice;
  const char* flag;
} kAdvice[] = {
    {MADV_HUGEPAGE, " hg"}, {MADV_NOHUGEPAGE, " nh"}, {MADV_DONTDUMP, " dd"},
    {MADV_DONTFORK, " dc"}, {MADV_WIPEONFORK, " wf"}, {MADV_MERGEABLE, " mg"},
    {MADV_RANDOM, " rr"},   {MADV_SEQUENTIAL, " sr"},
};
enum { kCount = sizeof kAdvice / sizeof *kAdvice };

static char* memories[kCount];

static bool has_flag(const void* memory, const char* flag) {
  return strstr(smaps_field(memory, "VmFlags:"), flag) != NULL;
}

static void child_body(void* argument) {
  (void)argument;
  CHECK_ERRNO(msync(memories[3], kPage, MS_ASYNC), ENOMEM);  // was not inherited
  CHECK_EQ(memories[4][0], 0);                               // was wiped
  CHECK_EQ(memories[2][0], 'a');
}

int main(void) {
  for (int i = 0; i < kCount; i++) memories[i] = advised(kAdvice[i].advice);
  char* plain = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  plain[0] = 'p';

  workload_ready();

  for (int i = 0; i < kCount; i++) {
    if (!memories[i]) continue;
    workload_context(kAdvice[i].flag);
    CHECK(has_flag(memories[i], kAdvice[i].flag));
    CHECK(!has_flag(plain, kAdvice[i].flag));
    CHECK_EQ(memories[i][0], 'a');
  }
  workload_context(NULL);
  reap_child(spawn(child_body, NULL));
  return workload_ok();
}
