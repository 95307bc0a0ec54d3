// refused: kvm
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "workload.h"

int main(void) {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) workload_skip("this host has no KVM");
  int machine = CHECK_SYS(ioctl(kvm, KVM_CREATE_VM, 0));

  workload_ready();

  CHECK_EQ(ioctl(kvm, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
  CHECK_RANGE(ioctl(machine, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS), 1, 4096);
  return workload_ok();
}
