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
#include "engine/memory/layout.h"
#include "engine/task.h"
#include "image/memory.pb.h"
#include "image/stream.h"
#include "sys/pagemap.h"

namespace martlet::engine {

class SpaceBuilder {
 public:
  SpaceBuilder(ApplyContext& context, DescriptorChannel& channel)
      : context_(context), channel_(channel) {}

  // What a task has mapped when it is built: nothing that is wanted (the stub), the mappings of the
  // process it was forked from, or its own from before.
  struct Before {
    const image::AddressSpace* space = nullptr;
    Lineage lineage = Lineage::kSelf;
  };

  // Makes every mapping of `space` inside `task`. Whatever the task had mapped before and `space`
  // does not list as inherited is gone afterwards.
  Result<void> build(Task& task, const image::AddressSpace& space, Before before);

  // Files may have become others since the last address space was built.
  void forget_files() { opened_.clear(); }

  // Makes a touch of these pages a fault (MADV_GUARD_INSTALL), when all pages are in. No lock may
  // lie on them yet.
  static Result<void> install_guards(Task& task, const std::vector<sys::Range>& guards);

  // Completes the address space when all pages are in: advice, locks, names, and the fields that
  // /proc shows (brk, arguments, auxv, executable).
  Result<void> finish(Task& task, const image::AddressSpace& space);

 private:
  struct Plan;
  Result<Plan> plan(Task& task, const image::AddressSpace& space, Before before);
  Result<bool> has_local_vdso(const image::AddressSpace& space);
  Result<void> clear(Task& task, const Plan& plan);
  Result<void> place_vdso(Task& task, const image::AddressSpace& space, const Plan& plan);
  Result<void> map_redirected_vdso(Task& task, const image::AddressSpace& space,
                                   uint64_t local_address);
  Result<void> map_all(Task& task, const image::AddressSpace& space, const Plan& plan);
  static Result<void> advise_huge_pages(Batch& batch, const image::AddressSpace& space,
                                        const Plan& plan);
  Result<std::optional<int>> segment_of(const image::Mapping& mapping) const;
  Result<void> attach_segment(Batch& batch, const image::Mapping& mapping, int segment);
  Result<void> map_one(Batch& batch, const image::Mapping& mapping, int fd);
  Result<void> grow_run(Batch& batch, const image::AddressSpace& space, const Plan& plan,
                        size_t first);
  Result<void> discard_uninherited(Task& task, const image::AddressSpace& space, const Plan& plan);
  Result<int> open_backing(const image::Mapping& mapping);
  Result<void> set_fields(Task& task, const image::AddressSpace& space);

  ApplyContext& context_;
  DescriptorChannel& channel_;
  std::vector<std::byte> local_vdso_;  // read when the first address space needs it
  std::map<std::pair<std::string, uint32_t>, Fd> opened_;  // mapped files by path and flags
};

}  // namespace martlet::engine
