// The phases of a capture, in their order.
#pragma once

#include <vector>

#include "checkpoint/group.h"
#include "engine/context.h"
#include "engine/tasks/frozen.h"
#include "image/group.pb.h"
#include "image/ipc.pb.h"
#include "image/memory.pb.h"
#include "sys/pagemap.h"

namespace martlet::checkpoint {

class GroupCapture {
 public:
  GroupCapture(std::vector<engine::FrozenProcess>& processes, engine::CaptureContext& context,
               bool container)
      : processes_(processes), context_(context), container_(container) {}

  Result<CaptureStats> run();

 private:
  Result<void> survey();  // touches nothing, refuses what is not supported
  Result<void> gather();  // everything but page contents
  Result<void> write();   // the stream
  Result<void> survey_process(engine::FrozenProcess& frozen);
  Result<void> write_spaces();
  Result<void> write_space(const engine::FrozenProcess& frozen, image::AddressSpace& space);
  // For each mapping the pages that are physically the parent's.
  Result<std::vector<std::vector<sys::Range>>> find_inherited(
      const engine::FrozenProcess& frozen, const image::AddressSpace& space) const;

  std::vector<engine::FrozenProcess>& processes_;
  engine::CaptureContext& context_;
  bool container_;
  CaptureStats stats_;
  image::Tree tree_;
  std::vector<image::AddressSpace> spaces_;  // parallel to processes_; empty for a zombie
  std::vector<const engine::FileKind*> kinds_;
  std::vector<image::File> files_;
  image::Ipc ipc_;
};

}  // namespace martlet::checkpoint
