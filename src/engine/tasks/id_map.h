// How a user namespace numbers users or groups. Plain values, no system calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/group.pb.h"

namespace martlet::engine {

using IdRanges = google::protobuf::RepeatedPtrField<image::IdRange>;

// Of the text of /proc/PID/uid_map as a process inside reads it, and back.
Result<IdRanges> parse_id_ranges(std::string_view text);
std::string id_map_text(const IdRanges& ranges);

// From the ids of the group to those of a user namespace in it.
class IdMap {
 public:
  static IdMap of_group();
  // Of a namespace with these ranges in the namespace that `parent` is the map of.
  static Result<IdMap> below(const IdMap& parent, const IdRanges& ranges);

  // Empty: the namespace has no number for it.
  std::optional<uint32_t> inside(uint32_t id) const;
  // The number of some id that it has; empty: it has none at all.
  std::optional<uint32_t> any_inside() const;

 private:
  struct Range {
    uint32_t inside;
    uint32_t in_group;
    uint32_t count;
  };
  static std::optional<Range> translate(const IdMap& parent, const image::IdRange& range);

  std::vector<Range> ranges_;
};

// What a task is told its users and groups are.
struct UserView {
  IdMap users;
  IdMap groups;
};

}  // namespace martlet::engine
