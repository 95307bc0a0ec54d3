#include "engine/files/signal_kind.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/files/descriptions.h"
#include "engine/files/fd_info.h"

namespace martlet::engine {
namespace {

class SignalKind final : public FileKind {
 public:
  std::string_view name() const override { return "signalfd"; }

  bool recognises(const OpenFile& file) const override {
    return file.link == "anon_inode:[signalfd]";
  }

  Result<void> capture(CaptureContext&, const OpenFile& file, image::File& out) const override {
    out.mutable_signal()->set_mask(TRY(info_number(file.info, "sigmask", 16)));
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_signal(); }

  // The C library's signalfd() takes a sigset_t, which has no portable way in from a kernel mask.
  Result<Fd> create(ApplyContext&, const image::File& file) const override {
    uint64_t mask = file.signal().mask();
    Fd fd(static_cast<int>(::syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC)));
    if (!fd.valid()) return fail_errno("create a signalfd");
    TRY(set_status_flags(fd.get(), static_cast<int>(file.flags())));
    return fd;
  }
};

}  // namespace

const FileKind& signal_kind() {
  static const SignalKind kind;
  return kind;
}

}  // namespace martlet::engine
