// Leases of files: who opens a leased file waits, and its holder is told by a signal.
#pragma once

#include "workload.h"

static void open_to_write(void* argument) {
  close(CHECK_SYS(open(argument, O_WRONLY)));
}

// Waits for the signal, which is blocked.
static void take(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, NULL)), signal);
}
