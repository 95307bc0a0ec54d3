// Page contents of a frozen process, from its memory into the stream.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/ranges.h"
#include "image/memory.pb.h"
#include "image/stream.h"
#include "sys/pagemap.h"
#include "sys/target_memory.h"

namespace martlet::engine {

// How a process's memory is read. process_vm_readv is the faster way, but it pins what it reads,
// and the kernel copies a page that fork left shared before it is pinned: the process would lose
// the sharing for good.
enum class ReadMode { kPinned, kKeepShared };

// Where a frozen process's memory is read from.
struct PageReader {
  HostPid pid;
  NsPid process;  // names the pages in the stream
  const sys::ForcedMemory& memory;
  ReadMode mode;
  // Of a process that runs: pages that were unmapped before they could be read are noted here.
  // Without it they are an error.
  Ranges* unreadable = nullptr;
};

// Whether all of the bytes, at least one, are zero.
bool is_zero(std::span<const std::byte> bytes);

// What becomes of pages that hold zeros: where nothing is under them, they need not travel.
enum class Zeros { kLeaveOut, kPut };

// The pages of `mapping` that are physically the parent's, as the two page tables show (same frame,
// same address). `own_pages` are the child's pages where inheritance is possible:
// inheritable_parts().
Result<Ranges> inherited_pages(const sys::Pagemap& child, const sys::Pagemap& parent,
                               const Ranges& own_pages);

// A run of pages of one mapping, as much as one thread puts at a time.
struct PagePiece {
  const image::Mapping* mapping;
  sys::Range range;
};

// Adds pages of a mapping to `pieces`. No piece shares a huge page with another one.
void add_pieces(const image::Mapping& mapping, const Ranges& pages, std::vector<PagePiece>& pieces);

// Puts pages into a sink. Pages of zeros travel as kZeroPages where a zero page must overwrite
// something, else not at all. Returns the bytes put.
class PageWriter {
 public:
  explicit PageWriter(image::Sink& sink);
  Result<uint64_t> put(const PageReader& reader, const PagePiece& piece);
  // Puts pages of mappings that all have this protection.
  Result<uint64_t> put_ranges(const PageReader& reader, uint32_t protection, Zeros zeros,
                              const Ranges& ranges);

 private:
  Result<uint64_t> put_readable(const PageReader& reader, uint32_t protection, Zeros zeros,
                                sys::Range range);
  Result<uint64_t> put_chunk(const PageReader& reader, Zeros zeros, uint64_t address,
                             std::span<const std::byte> pages);

  image::Sink& sink_;
  std::vector<std::byte> buffer_;
};

}  // namespace martlet::engine
