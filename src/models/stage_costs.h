// What each stage of a move costs by the hosts' costs alone: the terms of Mirkin 2008 for what
// grows with pages, tasks, mappings and files, and the number of operations that a stage consists
// of for the rest. models/migration.h adds the mode, the rounds and the correction.
#pragma once

#include "models/migration.h"

namespace martlet::models {

// Time of one page on its way. The bounds are those of the link's load, and of how far the work of
// the two hosts and the link overlaps: not at all (upper), or completely (lower).
struct PageCosts {
  Bounds capture;   // on the source, before it is sent
  Bounds transfer;  // until the destination has it in place
  Bounds all() const { return capture + transfer; }
};
PageCosts page_costs(const MoveInputs& inputs);
// The same of a page that follows after the thaw: all of them go over one connection.
PageCosts late_page_costs(const MoveInputs& inputs);
// Processor time of one page on either side.
double source_page_cpu(const HostCosts& host);
double destination_page_cpu(const HostCosts& host);

// Bytes that a page takes on the link.
double page_bytes(const MoveOptions& options);
// Records of tasks and mappings, apart from pages.
Bounds record_bytes(const ContainerLoad& container);

Bounds check_seconds(const MoveInputs& inputs);
Bounds first_copy_seconds(const MoveInputs& inputs);
// Of mode stop: the destination makes private pages before the freeze, and writes over them later.
Bounds prepare_seconds(const MoveInputs& inputs);
MoveInputs with_pages_made(MoveInputs inputs);
Bounds freeze_seconds(const MoveInputs& inputs);
// `since` is the time since the first copy began.
Bounds second_copy_seconds(const MoveInputs& inputs, const Bounds& since);
Bounds second_copy_bytes(const ContainerLoad& container, const Bounds& since);
Bounds capture_seconds(const MoveInputs& inputs, const Bounds& pages);
// Of shared memory, after rounds.
Bounds compare_seconds(const MoveInputs& inputs);
Bounds transfer_seconds(const MoveInputs& inputs, const Bounds& pages);
Bounds restore_seconds(const MoveInputs& inputs, const Bounds& pages);
Bounds resume_seconds(const MoveInputs& inputs);
Bounds stop_source_seconds(const MoveInputs& inputs);
Bounds remove_source_seconds(const MoveInputs& inputs);

}  // namespace martlet::models
