#include "engine/files/namespace_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>

#include "engine/context.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr std::array<std::string_view, 8> kNames = {"cgroup", "ipc",  "mnt",  "net",
                                                    "pid",    "time", "user", "uts"};

// It is a file that the environment supplies, under this name.
constexpr std::string_view kPrefix = "ns/";

std::string path_of(HostPid root, std::string_view name) {
  return sys::proc_path(root, fmt::format("{}{}", kPrefix, name));
}

class NamespaceKind final : public FileKind {
 public:
  std::string_view name() const override { return "namespace"; }

  bool recognises(const OpenFile& file) const override {
    struct statfs system{};
    return ::fstatfs(file.fd, &system) == 0 && system.f_type == NSFS_MAGIC;
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    for (std::string_view name : kNames) {
      struct stat own{};
      if (::stat(path_of(context.root(), name).c_str(), &own) != 0 ||
          own.st_ino != file.status.st_ino)
        continue;
      out.mutable_regular()->set_external(fmt::format("{}{}", kPrefix, name));
      return {};
    }
    return fail(Code::kUnsupported, "is of a namespace that the group's root does not live in");
  }

  bool owns(const image::File& file) const override {
    return file.has_regular() && file.regular().external().starts_with(kPrefix);
  }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    const std::string name = file.regular().external().substr(kPrefix.size());
    if (std::ranges::find(kNames, name) == kNames.end())
      return fail(Code::kBadImage, "a namespace of an unknown kind");
    return open_file(path_of(context.root(), name),
                     (static_cast<int>(file.flags()) & O_PATH) != 0 ? O_PATH : O_RDONLY);
  }
};

}  // namespace

const FileKind& namespace_kind() {
  static const NamespaceKind kind;
  return kind;
}

}  // namespace martlet::engine
