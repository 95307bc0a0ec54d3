// The mappings of a process as an image holds them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/memory/shared_objects.h"
#include "image/memory.pb.h"
#include "sys/pagemap.h"
#include "sys/procfs.h"

namespace martlet::engine {

// Translates VMAs into image mappings; one for the whole group, so that each file is looked at
// once.
class LayoutReader {
 public:
  LayoutReader(CaptureContext& context, SharedObjectTable& objects)
      : context_(context), objects_(objects) {}

  // All mappings of the process. kUnsupported names the first one that cannot be handled.
  Result<std::vector<image::Mapping>> read(HostPid pid, const std::vector<sys::Vma>& vmas);

 private:
  Result<std::optional<image::Mapping>> translate(HostPid pid, const sys::Vma& vma);
  Result<void> translate_object(HostPid pid, const sys::Vma& vma, image::Mapping& out);
  Result<void> translate_file(HostPid pid, const sys::Vma& vma, image::Mapping& out);
  Result<uint32_t> unlinked_file(HostPid pid, const sys::Vma& vma, const struct stat& status);

  CaptureContext& context_;
  SharedObjectTable& objects_;
  std::map<std::pair<std::string, uint64_t>, image::FileIdentity> identities_;
};

// Whether the mapping's pages are private to the process and so belong into its part of the image.
bool has_private_pages(const image::Mapping& mapping);

// The part of `child` whose pages a fork of a process with the mappings `parent` brings along: the
// first mapping of the same kind that lies over it. Capture and restore both ask this function, so
// that they agree on which pages are inherited.
std::optional<sys::Range> inheritable_part(const image::Mapping& child,
                                           const std::vector<image::Mapping>& parent);

// The identity of a path that leads to `fd` inside the group's root; kNotFound if it leads to
// another file or nowhere.
Result<image::FileIdentity> identify(const CaptureContext& context, const std::string& path,
                                     const struct stat& status);

}  // namespace martlet::engine
