#include "engine/memory/aio_contexts.h"

#include <algorithm>

#include "base/fd.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// The requests that all contexts of the host have room for.
constexpr const char* kHostTotal = "/proc/sys/fs/aio-nr";

bool maps_aio_ring(HostPid pid) {
  auto vmas = sys::read_maps(sys::living_thread(pid));
  return vmas &&
         std::ranges::any_of(*vmas, [](const sys::Vma& vma) { return is_aio_ring(vma.path); });
}

}  // namespace

bool is_aio_ring(std::string_view mapped_path) {
  return mapped_path.starts_with("/[aio]");
}

bool has_aio_context(HostPid root) {
  auto total = read_file(kHostTotal);
  if (total && total->starts_with("0\n")) return false;
  return std::ranges::any_of(sys::list_tree(root), maps_aio_ring);
}

}  // namespace martlet::engine
