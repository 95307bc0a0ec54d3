// The mappings of a process as an image holds them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/memory/shared_objects.h"
#include "image/memory.pb.h"
#include "sys/pagemap.h"
#include "sys/procfs.h"
#include "sys/target_memory.h"

namespace martlet::engine {

// Translates VMAs into image mappings; one for the whole group, so that each file is looked at
// once.
class LayoutReader {
 public:
  LayoutReader(CaptureContext& context, SharedObjectTable& objects)
      : context_(context), objects_(objects) {}

  // Mappings under write tracking are ours, not the process's own use of userfaultfd.
  void accept_write_tracking() { write_tracking_ = true; }

  // All mappings of the process. kUnsupported names the first one that cannot be handled.
  Result<std::vector<image::Mapping>> read(HostPid pid, const std::vector<sys::Vma>& vmas);

 private:
  Result<std::optional<image::Mapping>> translate(HostPid pid, const sys::Vma& vma);
  Result<void> translate_huge(HostPid pid, const sys::Vma& vma, image::Mapping& out);
  Result<void> translate_object(HostPid pid, const sys::Vma& vma, image::Mapping& out);
  Result<void> translate_file(HostPid pid, const sys::Vma& vma, image::Mapping& out);

  CaptureContext& context_;
  SharedObjectTable& objects_;
  std::map<std::tuple<std::string, uint64_t, uint32_t>, image::FileIdentity> identities_;
  bool write_tracking_ = false;
};

// Which part of the vDSO the mapping is, if it is one.
std::optional<image::MappingKind> vdso_part(const sys::Vma& vma);

// The code of the vDSO, empty if the process has none.
Result<std::string> read_vdso(const sys::ForcedMemory& memory, const std::vector<sys::Vma>& vmas);

// Whether the mapping's pages are private to the process and so belong into its part of the image.
bool has_private_pages(const image::Mapping& mapping);
bool is_shared(const image::Mapping& mapping);
sys::Pagemap::Backing backing_of(const image::Mapping& mapping);

// What is to be said of a mapping before it gets pages: whether they are to be huge ones.
void add_huge_page_advice(const sys::Vma& vma, image::Mapping& mapping);
std::optional<uint32_t> huge_page_advice(const image::Mapping& mapping);

// Which part of each mapping of `after` a task keeps that has the mappings `before` (its own, or
// its parent's by a fork) when its mappings become those of `after`. Capture and restore both ask
// this function, so that they agree on which pages are there already.
//
// Neighbours that differ in nothing but their protection form a run: the kernel may make one
// mapping of them, so a run is kept from its start on and grown. What a fork brings along as
// several mappings can never be one again, so of those only the first is kept.
enum class Lineage { kSelf, kFork };
std::vector<std::optional<sys::Range>> inheritable_parts(const image::AddressSpace& after,
                                                         const image::AddressSpace& before,
                                                         Lineage lineage);

// For each mapping the addresses of its run.
std::vector<sys::Range> runs_of(const image::AddressSpace& space);

// Leads to the file behind a mapping.
std::string map_files_link(HostPid pid, const sys::Vma& vma);

// The identity of a path that leads to this file in the mount namespace to which `link`, a link to
// the file in /proc, leads; kNotFound if it leads to another file or nowhere.
Result<image::FileIdentity> identify(const CaptureContext& context, const std::string& link,
                                     const std::string& path, const struct stat& status);

}  // namespace martlet::engine
