// An SCTP socket, or where the kernel has none, MPTCP or vsock: none is taken for another kind.
// refused: not supported
#include <netinet/in.h>
#include <sys/socket.h>

#include "workload.h"

enum { kMptcp = 262, kVsock = 40 };

int main(void) {
  int file = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
  if (file < 0) file = socket(AF_INET, SOCK_STREAM, kMptcp);
  if (file < 0) file = socket(kVsock, SOCK_STREAM, 0);
  if (file < 0) workload_skip("this kernel has none of them");

  workload_ready();

  CHECK_ERRNO(getpeername(file, (struct sockaddr*)&(struct sockaddr_storage){0},
                          &(socklen_t){sizeof(struct sockaddr_storage)}),
              ENOTCONN);
  return workload_ok();
}
