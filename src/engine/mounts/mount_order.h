// The order in which mounts are made again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace martlet::engine {

struct PlannedMount {
  uint64_t id = 0;
  uint64_t parent = 0;  // the mount that it lies on; one that is not planned is there before
  std::string point;
  uint64_t source = 0;  // a planned mount whose file system it shows too; 0: none
};

// Indices of `mounts`, so that each comes after the one it lies on and after its source, and before
// it is hidden by another. Otherwise they keep their order. Nothing if there is no such order.
std::optional<std::vector<size_t>> order_of_mounting(const std::vector<PlannedMount>& mounts);

}  // namespace martlet::engine
