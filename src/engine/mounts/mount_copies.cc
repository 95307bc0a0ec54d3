#include "engine/mounts/mount_copies.h"

#include <algorithm>
#include <cstdint>
#include <map>

namespace martlet::engine {
namespace {

const Mount* with_id(const std::vector<Mount>& mounts, uint64_t id) {
  auto found = std::ranges::find(mounts, id, &Mount::id);
  return found == mounts.end() ? nullptr : &*found;
}

class Copies {
 public:
  Copies(const std::vector<Mount>& source, const std::vector<Mount>& copy)
      : source_(source), copy_(copy) {}

  // Null: it is not in the copy.
  const Mount* of(const Mount& mount) {
    auto [entry, is_new] = known_.try_emplace(mount.id, nullptr);
    if (is_new) entry->second = find(mount);
    return entry->second;
  }

 private:
  const Mount* find(const Mount& mount) {
    const Mount* below = with_id(source_, mount.parent);
    const Mount* copy_below = below == nullptr ? nullptr : of(*below);
    if (below != nullptr && copy_below == nullptr) return nullptr;
    auto found = std::ranges::find_if(copy_, [&](const Mount& other) {
      return other.point == mount.point && other.root == mount.root &&
             other.device == mount.device && other.type == mount.type &&
             other.id_mapped == mount.id_mapped && with_id(copy_, other.parent) == copy_below;
    });
    return found == copy_.end() ? nullptr : &*found;
  }

  const std::vector<Mount>& source_;
  const std::vector<Mount>& copy_;
  std::map<uint64_t, const Mount*> known_;
};

}  // namespace

std::vector<Mount> as_in_copy(const std::vector<Mount>& source, const std::vector<Mount>& copy) {
  Copies copies(source, copy);
  std::vector<Mount> result = source;
  for (size_t i = 0; i < source.size(); ++i) {
    if (const Mount* same = copies.of(source[i])) {
      result[i].id = same->id;
      result[i].parent = same->parent;
    } else if (const Mount* below = with_id(source, source[i].parent)) {
      if (const Mount* same_below = copies.of(*below)) result[i].parent = same_below->id;
    }
  }
  return result;
}

}  // namespace martlet::engine
