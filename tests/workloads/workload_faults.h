// Whether a touch of memory is a fault. The program has to handle the signals with on_fault.
#pragma once

#include <setjmp.h>

#include "workload.h"

static sigjmp_buf back;

static void on_fault(int signal) {
  siglongjmp(back, signal);
}

// The signal that the touch brings, 0 if none.
static int fault_at(volatile char* address) {
  int signal = sigsetjmp(back, 1);
  if (signal == 0) (void)*address;
  return signal;
}
