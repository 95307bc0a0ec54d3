// What lines of shell say.
#pragma once

#include "workload.h"

// The caller frees it. The line must succeed.
static inline char* say(const char* line) {
  FILE* output = popen(line, "r");
  CHECK(output != NULL);
  char* text = NULL;
  size_t size = 0;
  if (getdelim(&text, &size, 0, output) < 0) text = strdup("");
  CHECK_EQ(pclose(output), 0);
  return text;
}
