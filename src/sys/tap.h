// A virtual Ethernet link whose other end is held by this process: what the kernel sends on the
// link is received here, and what is sent here arrives from the link.
//
// The link vanishes with the object, also when the process dies. What is received has every offload
// done: no frame is larger than the link's MTU, and checksums are complete.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "sys/ethernet_frame.h"

namespace martlet::sys {

class Tap {
 public:
  // In the calling thread's network namespace; the link is down. kAlreadyExists if there is one of
  // this name.
  static Result<Tap> create(const std::string& link);

  // The next frame; empty if there is none right now.
  Result<Frame> receive();
  Result<void> send(std::span<const std::byte> frame);
  int fd() const { return device_.get(); }
  const std::string& link() const { return link_; }

 private:
  Tap(Fd device, std::string link) : device_(std::move(device)), link_(std::move(link)) {}

  Fd device_;
  std::string link_;
};

}  // namespace martlet::sys
