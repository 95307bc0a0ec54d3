#include "engine/mounts/attributes.h"

#include <fmt/format.h>
#include <sys/xattr.h>

#include <cerrno>
#include <vector>

namespace martlet::engine {
namespace {

constexpr size_t kMaxAttributeBytes = 64u << 10;  // of a value, and of all names

// There are no calls that take a directory and a name.
std::string through_proc(int directory, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory, name);
}

}  // namespace

std::string parent_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Result<void> read_attributes(int directory, const std::string& name, image::TmpfsEntry& out) {
  std::string path = through_proc(directory, name);
  ssize_t size = ::llistxattr(path.c_str(), nullptr, 0);
  if (size == 0 || (size < 0 && errno == ENOTSUP)) return {};
  std::vector<char> names(kMaxAttributeBytes), value(kMaxAttributeBytes);
  size = ::llistxattr(path.c_str(), names.data(), names.size());
  if (size < 0) return fail_errno("list extended attributes");
  for (const char* at = names.data(); at < names.data() + size;) {
    std::string attribute = at;
    at += attribute.size() + 1;
    ssize_t got = ::lgetxattr(path.c_str(), attribute.c_str(), value.data(), value.size());
    if (got < 0) return fail_errno("read extended attribute " + attribute);
    image::ExtendedAttribute& record = *out.add_attributes();
    record.set_name(attribute);
    record.set_value(value.data(), static_cast<size_t>(got));
  }
  return {};
}

Result<void> write_attributes(int directory, const std::string& name,
                              const image::TmpfsEntry& entry) {
  std::string path = through_proc(directory, name);
  for (const image::ExtendedAttribute& attribute : entry.attributes())
    if (::lsetxattr(path.c_str(), attribute.name().c_str(), attribute.value().data(),
                    attribute.value().size(), 0) != 0)
      return fail_errno("set extended attribute " + attribute.name());
  return {};
}

}  // namespace martlet::engine
