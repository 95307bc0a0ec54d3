// Page contents of a frozen process, from its memory into the stream.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "image/memory.pb.h"
#include "image/stream.h"
#include "sys/pagemap.h"

namespace martlet::engine {

// How a process's memory is read. process_vm_readv is the faster way, but it pins what it reads,
// and the kernel copies a page that fork left shared before it is pinned: the process would lose
// the sharing for good.
enum class ReadMode { kPinned, kKeepShared };

// Where a frozen process's memory is read from.
struct PageReader {
  HostPid pid;
  NsPid process;  // names the pages in the stream
  const sys::Pagemap& pagemap;
  ReadMode mode;
};

// The pages of `mapping` that are physically the parent's, as the two page tables show (same frame,
// same address). `part` is where inheritance is possible, see inheritable_part().
Result<std::vector<sys::Range>> inherited_pages(const sys::Pagemap& child,
                                                const sys::Pagemap& parent, sys::Range part);

// `ranges` without `holes`; both sorted and without overlap.
std::vector<sys::Range> subtract(const std::vector<sys::Range>& ranges,
                                 const std::vector<sys::Range>& holes);

// Puts the private pages of a mapping into the sink, those in `inherited` left out. Pages of zeros
// travel as kZeroPages where a zero page must overwrite something, else not at all. Returns the
// bytes put.
class PageWriter {
 public:
  explicit PageWriter(image::Sink& sink);
  Result<uint64_t> put(const PageReader& reader, const image::Mapping& mapping,
                       const std::vector<sys::Range>& inherited);

 private:
  Result<uint64_t> put_range(const PageReader& reader, const image::Mapping& mapping,
                             sys::Range range);
  Result<uint64_t> put_chunk(const PageReader& reader, const image::Mapping& mapping,
                             uint64_t address, std::span<const std::byte> pages);

  image::Sink& sink_;
  std::vector<std::byte> buffer_;
};

}  // namespace martlet::engine
