#include "engine/mounts/mount_order.h"

#include <algorithm>
#include <map>

#include "engine/mounts/mount_table.h"

namespace martlet::engine {
namespace {

class Planner {
 public:
  explicit Planner(const std::vector<PlannedMount>& mounts)
      : mounts_(mounts), made_(mounts.size()) {
    for (size_t i = 0; i < mounts.size(); ++i) index_of_[mounts[i].id] = i;
  }

  std::optional<std::vector<size_t>> run() {
    std::vector<size_t> order;
    while (order.size() < mounts_.size()) {
      size_t next = 0;
      while (next < mounts_.size() && (made_[next] || !can_be_made(next))) ++next;
      if (next == mounts_.size()) return std::nullopt;
      made_[next] = true;
      order.push_back(next);
    }
    return order;
  }

 private:
  bool can_be_made(size_t index) const {
    const PlannedMount& mount = mounts_[index];
    if (!is_there(mount.parent) || !is_there(mount.source)) return false;
    for (size_t other = 0; other < mounts_.size(); ++other)
      if (other != index && !made_[other] && is_at_or_below(mounts_[other].point, mount.point) &&
          !lies_on(other, index))
        return false;
    return true;
  }

  bool is_there(uint64_t id) const {
    auto planned = index_of_.find(id);
    return planned == index_of_.end() || made_[planned->second];
  }

  // A chain of parents is no longer than there are mounts.
  bool lies_on(size_t index, size_t below) const {
    for (size_t steps = 0; steps < mounts_.size(); ++steps) {
      auto parent = index_of_.find(mounts_[index].parent);
      if (parent == index_of_.end()) return false;
      if (parent->second == below) return true;
      index = parent->second;
    }
    return false;
  }

  const std::vector<PlannedMount>& mounts_;
  std::vector<bool> made_;
  std::map<uint64_t, size_t> index_of_;
};

}  // namespace

std::optional<std::vector<size_t>> order_of_mounting(const std::vector<PlannedMount>& mounts) {
  return Planner(mounts).run();
}

}  // namespace martlet::engine
