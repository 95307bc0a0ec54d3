// System V message queue: messages of several types, in order.
#include <sys/ipc.h>
#include <sys/msg.h>

#include "workload.h"

struct message {
  long type;
  char text[64];
};

static void put(int queue, long type, const char* text) {
  struct message message = {.type = type};
  snprintf(message.text, sizeof message.text, "%s", text);
  CHECK_SYS(msgsnd(queue, &message, strlen(text) + 1, 0));
}

static void expect(int queue, long type, const char* text) {
  struct message message;
  CHECK_EQ(CHECK_SYS(msgrcv(queue, &message, sizeof message.text, type, IPC_NOWAIT)),
           strlen(text) + 1);
  CHECK_STR(message.text, text);
}

int main(void) {
  key_t key = 0x4d000000 + getpid();
  int queue = CHECK_SYS(msgget(key, IPC_CREAT | IPC_EXCL | 0600));
  put(queue, 1, "first");
  put(queue, 2, "second");
  put(queue, 1, "third");
  put(queue, 0x7fffffffffff, "fourth");

  workload_ready();

  expect(queue, 2, "second");
  expect(queue, 0, "first");
  expect(queue, 0, "third");
  expect(queue, 0x7fffffffffff, "fourth");
  CHECK_ERRNO(msgrcv(queue, &(struct message){0}, 64, 0, IPC_NOWAIT), ENOMSG);
  put(queue, 5, "new");
  CHECK_EQ(CHECK_SYS(msgget(key, 0)), queue);
  expect(queue, 5, "new");
  CHECK_SYS(msgctl(queue, IPC_RMID, NULL));
  return workload_ok();
}
