// Capture and creation of each kind of System V object. All run in a thread inside the group's IPC
// namespace.
#pragma once

#include <vector>

#include "engine/context.h"
#include "image/ipc.pb.h"

namespace martlet::engine {

// Shared memory (sysv_shared_memory.cc).
std::vector<int> list_segments();
Result<image::SysvSharedMemory> capture_segment(CaptureContext& context, int id);
// Whether the segment was made here; false if one that was there is used.
Result<bool> create_segment(ApplyContext& context, const image::SysvSharedMemory& segment);
int remove_segment(int id);

// Semaphores (sysv_semaphores.cc).
std::vector<int> list_semaphores();
Result<image::SysvSemaphores> capture_semaphores(int id);
Result<void> create_semaphores(const image::SysvSemaphores& set);
int remove_semaphores(int id);

// Message queues (sysv_messages.cc).
std::vector<int> list_queues();
Result<image::SysvMessageQueue> capture_queue(int id);
Result<void> create_queue(const image::SysvMessageQueue& queue);
int remove_queue(int id);

}  // namespace martlet::engine
