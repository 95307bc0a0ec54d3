#include "engine/memory/memory_file_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "engine/context.h"

namespace martlet::engine {
namespace {

class MemoryFileKind final : public FileKind {
 public:
  std::string_view name() const override { return "memory file"; }

  bool recognises(const OpenFile& file) const override { return is_shared_object_link(file.link); }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    Fd duplicate(::fcntl(file.fd, F_DUPFD_CLOEXEC, 0));
    if (!duplicate.valid()) return fail_errno("duplicate");
    uint32_t object = TRY(context.shared_objects().id_of(std::move(duplicate), file.link));
    out.mutable_shared_memory()->set_object(object);
    out.set_offset(::lseek(file.fd, 0, SEEK_CUR));
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_shared_memory(); }

  // The object's own descriptor is not handed out: each description has an offset and flags.
  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    const auto* object = TRY(context.shared_objects().get(file.shared_memory().object()));
    int flags = static_cast<int>(file.flags()) & (O_ACCMODE | O_APPEND | O_NONBLOCK);
    Fd fd = TRY(open_file(fmt::format("/proc/self/fd/{}", object->fd.get()), flags));
    if (::lseek(fd.get(), file.offset(), SEEK_SET) < 0) return fail_errno("seek");
    return fd;
  }
};

}  // namespace

const FileKind& memory_file_kind() {
  static const MemoryFileKind kind;
  return kind;
}

}  // namespace martlet::engine
