// POSIX message queues.
#pragma once

#include <mqueue.h>

#include "workload.h"

enum { kCapacity = 6, kMessageSize = 32 };

static mqd_t create(const char* name, int flags) {
  struct mq_attr attributes = {.mq_maxmsg = kCapacity, .mq_msgsize = kMessageSize};
  mqd_t queue = mq_open(name, flags | O_CREAT | O_EXCL, 0600, &attributes);
  if (queue == (mqd_t)-1 && errno == ENOSYS) workload_skip("this kernel has no message queues");
  return (mqd_t)CHECK_SYS(queue);
}

static void put(mqd_t queue, const char* text, unsigned priority) {
  CHECK_SYS(mq_send(queue, text, strlen(text), priority));
}

static void expect(mqd_t queue, const char* text, unsigned priority) {
  char got[kMessageSize + 1] = {0};
  unsigned got_priority = 0;
  CHECK_EQ(CHECK_SYS(mq_receive(queue, got, sizeof got, &got_priority)), strlen(text));
  CHECK_STR(got, text);
  CHECK_EQ(got_priority, priority);
}
