#include "engine/files/namespace_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>

#include "engine/context.h"
#include "engine/files/descriptions.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr std::array<std::string_view, 8> kNames = {"cgroup", "ipc",  "mnt",  "net",
                                                    "pid",    "time", "user", "uts"};

// It is a file that the environment supplies, under this name and that of the kind. Between them
// stands a process that is in it, if the root is not.
constexpr std::string_view kPrefix = "ns/";

std::string path_of(HostPid process, std::string_view name) {
  return sys::proc_path(process, fmt::format("{}{}", kPrefix, name));
}

// Which of its own namespaces this is; empty: none of them.
std::string_view kind_in(HostPid process, ino_t inode) {
  auto found = std::ranges::find_if(kNames, [&](std::string_view name) {
    struct stat own{};
    return ::stat(path_of(process, name).c_str(), &own) == 0 && own.st_ino == inode;
  });
  return found == kNames.end() ? std::string_view() : *found;
}

// What stands between the prefix and the name of the kind; 0: nothing.
int32_t process_in(const std::string& external) {
  return std::atoi(external.c_str() + kPrefix.size());
}

int mode_of(const image::File& file) {
  return (static_cast<int>(file.flags()) & O_PATH) != 0 ? O_PATH : O_RDONLY;
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
    const ino_t inode = file.status.st_ino;
    if (auto kind = kind_in(context.root(), inode); !kind.empty()) {
      out.mutable_regular()->set_external(fmt::format("{}{}", kPrefix, kind));
      return {};
    }
    if (file.network != 0) {  // it is opened by that number
      out.mutable_regular()->set_external(fmt::format("{}net", kPrefix));
      return {};
    }
    for (HostPid process : sys::list_tree(context.root())) {
      auto inside = context.task(process);
      auto kind = kind_in(process, inode);
      if (!inside || kind.empty()) continue;
      out.mutable_regular()->set_external(fmt::format("{}{}/{}", kPrefix, inside->value, kind));
      return {};
    }
    return fail(Code::kUnsupported, "is of a namespace that no process of the group lives in");
  }

  bool owns(const image::File& file) const override {
    return file.has_regular() && file.regular().external().starts_with(kPrefix);
  }

  bool needs_tasks(const image::File& file) const override {
    return process_in(file.regular().external()) != 0;
  }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    const std::string& external = file.regular().external();
    const std::string name = external.substr(external.rfind('/') + 1);
    const int32_t inside = process_in(external);
    if (file.network() != 0)
      return reopen(TRY(context.networks().open(file.network())).get(), mode_of(file));
    auto process = inside == 0 ? std::optional(context.root()) : context.task(NsPid(inside));
    if (!process || std::ranges::find(kNames, name) == kNames.end())
      return fail(Code::kBadImage, "a namespace of nobody, or of an unknown kind");
    return open_file(path_of(*process, name), mode_of(file));
  }
};

}  // namespace

const FileKind& namespace_kind() {
  static const NamespaceKind kind;
  return kind;
}

}  // namespace martlet::engine
