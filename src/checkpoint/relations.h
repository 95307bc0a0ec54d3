// How the processes of a frozen group stand to each other, as an image tells it.
#pragma once

#include <map>
#include <vector>

#include "engine/tasks/frozen.h"
#include "image/tasks.pb.h"

namespace martlet::checkpoint {

// Brings the processes into the order in which they are made again. A child in another session than
// its parent was forked before the parent started its own; it has to be forked first again. Parents
// stay before their children.
void order_for_restore(std::vector<engine::FrozenProcess>& processes);

// Who is inside the group, by its number there.
std::map<HostPid, NsPid> numbers_inside(const std::vector<engine::FrozenProcess>& processes);

// The process's parent, group and session; of a zombie also how it ended.
image::Process describe_relations(const engine::FrozenProcess& frozen,
                                  const std::map<HostPid, NsPid>& inside);

// The lowest address with kWorkAreaSize free in every process. Their `vmas` must be known.
Result<uint64_t> find_work_area(const std::vector<engine::FrozenProcess>& processes);
bool is_free_in_all(uint64_t work_area, const std::vector<engine::FrozenProcess>& processes);

}  // namespace martlet::checkpoint
