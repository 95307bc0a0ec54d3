#include "engine/ipc/posix_queue_kind.h"

#include <fcntl.h>
#include <unistd.h>

#include "engine/files/descriptions.h"
#include "engine/files/file_locks.h"
#include "engine/ipc/posix_queues.h"

namespace martlet::engine {
namespace {

class PosixQueueKind final : public FileKind {
 public:
  std::string_view name() const override { return "POSIX message queue"; }

  bool recognises(const OpenFile& file) const override {
    return (file.flags & O_PATH) == 0 && S_ISREG(file.status.st_mode) && is_posix_queue(file.fd);
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    const auto queue = captured_queue(context, file.status);
    if (!queue)
      return fail(
          Code::kUnsupported,
          "is not a queue of an IPC namespace that a container's process lives in, or is nowhere "
          "but in flight between sockets");
    if (!TRY(parse_locks(file.info)).empty())
      return fail(Code::kUnsupported, "file locks of a queue are not supported");
    out.mutable_posix_queue()->set_queue(*queue);
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_posix_queue(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    int flags = static_cast<int>(file.flags());
    Fd fd = TRY(open_posix_queue(context, file.posix_queue().queue(), flags & O_ACCMODE));
    TRY(set_status_flags(fd.get(), flags));
    return fd;
  }
};

}  // namespace

const FileKind& posix_queue_kind() {
  static const PosixQueueKind kind;
  return kind;
}

}  // namespace martlet::engine
