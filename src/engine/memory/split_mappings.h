// Mappings that the kernel holds in several parts.
//
// It makes one of two neighbours that are alike, but not always: before Linux 6.16 one that comes
// from a fork takes none in that has had no page yet. So what another kernel, or another history,
// has made one mapping of may be several after a change of protection; and a program that moves or
// grows it (mremap) would be refused that.
#pragma once

#include "base/result.h"
#include "engine/task.h"
#include "image/memory.pb.h"

namespace martlet::engine {

// Makes one mapping of each private one of `space`, all of which the task has mapped. Pages stay
// what they are.
Result<void> unite_split_mappings(Task& task, const image::AddressSpace& space);

}  // namespace martlet::engine
