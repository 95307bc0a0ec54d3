// Turns the address space of a stub (or of a fork of an earlier restored process) into the one that
// an image describes, and fills it.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/batch.h"
#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "image/memory.pb.h"
#include "image/stream.h"
#include "sys/pagemap.h"

namespace martlet::engine {

class SpaceBuilder {
 public:
  SpaceBuilder(ApplyContext& context, DescriptorChannel& channel)
      : context_(context), channel_(channel) {}

  // Makes every mapping of `space` inside `task`. `parent` is the image of the process that `task`
  // was forked from, null for the stub. Whatever the task had mapped before and does not inherit is
  // gone afterwards.
  Result<void> build(Task& task, const image::AddressSpace& space,
                     const image::AddressSpace* parent);

  // Completes the address space when all pages are in: advice, locks, names, and the fields that
  // /proc shows (brk, arguments, auxv, executable).
  Result<void> finish(Task& task, const image::AddressSpace& space);

 private:
  struct Plan;
  Result<Plan> plan(Task& task, const image::AddressSpace& space,
                    const image::AddressSpace* parent) const;
  Result<void> clear(Task& task, const Plan& plan);
  Result<void> place_vdso(Task& task, const image::AddressSpace& space, const Plan& plan);
  Result<void> map_redirected_vdso(Task& task, const image::AddressSpace& space,
                                   std::span<const std::byte> local, uint64_t local_address);
  Result<void> map_all(Task& task, const image::AddressSpace& space, const Plan& plan);
  Result<std::optional<int>> segment_of(const image::Mapping& mapping) const;
  Result<void> attach_segment(Batch& batch, const image::Mapping& mapping, int segment);
  Result<void> map_one(Batch& batch, const image::Mapping& mapping, std::optional<sys::Range> kept,
                       int fd);
  Result<void> discard_uninherited(Task& task, const image::AddressSpace& space, const Plan& plan);
  Result<int> open_backing(const image::Mapping& mapping);
  Result<void> set_fields(Task& task, const image::AddressSpace& space);

  ApplyContext& context_;
  DescriptorChannel& channel_;
  std::map<std::pair<std::string, uint32_t>, Fd> opened_;  // mapped files by path and flags
};

// Writes pages into the process's memory, also where the process itself may not write.
Result<void> fill_pages(HostPid pid, const image::PageRun& run, std::span<const std::byte> pages);
Result<void> fill_zero_pages(HostPid pid, const image::PageRun& run);

}  // namespace martlet::engine
