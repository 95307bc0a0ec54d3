#include "engine/files/pipe_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/files/descriptions.h"
#include "engine/files/path_file.h"

namespace martlet::engine {
namespace {

constexpr size_t kEverything = 1u << 30;

bool reads(int flags) {
  return (flags & O_ACCMODE) != O_WRONLY;
}
bool writes(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY;
}
bool is_named(const OpenFile& file) {
  return file.link.starts_with('/');
}

struct PipePair {
  Fd reader;
  Fd writer;
};

Result<PipePair> make_pair(int capacity) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("create a pipe");
  PipePair pair{Fd(ends[0]), Fd(ends[1])};
  if (::fcntl(ends[1], F_GETPIPE_SZ) != capacity && ::fcntl(ends[1], F_SETPIPE_SZ, capacity) < 0)
    return fail_errno(fmt::format("give a pipe {} bytes", capacity));
  return pair;
}

// What is in the pipe, without taking it out: the pages are shared with a second pipe, which is
// read. A read ends behind a packet, so packets stay apart.
Result<std::vector<std::string>> peek(int pipe, int capacity) {
  Fd reader = TRY(reopen(pipe, O_RDONLY | O_NONBLOCK));
  PipePair copy = TRY(make_pair(capacity));
  if (::tee(reader.get(), copy.writer.get(), kEverything, SPLICE_F_NONBLOCK) < 0 && errno != EAGAIN)
    return fail_errno("read a pipe");
  std::vector<std::string> content;
  for (;;) {
    int waiting = 0;
    if (::ioctl(copy.reader.get(), FIONREAD, &waiting) != 0) return fail_errno("size of a pipe");
    if (waiting <= 0) return content;
    std::string part(static_cast<size_t>(waiting), '\0');
    ssize_t got = ::read(copy.reader.get(), part.data(), part.size());
    if (got <= 0) return fail_errno("read a pipe");
    part.resize(static_cast<size_t>(got));
    content.push_back(std::move(part));
  }
}

struct Ends {
  bool reader = false;
  bool writer = false;
  bool packets = false;  // a writer in packet mode
};

Ends ends_in_group(CaptureContext& context, const OpenFile& file) {
  Ends ends;
  for (const OpenFile& other : context.files()) {
    if (!same_file(other.status, file.status) || (other.flags & O_PATH)) continue;
    ends.reader |= reads(other.flags);
    ends.writer |= writes(other.flags);
    ends.packets |= writes(other.flags) && (other.flags & O_DIRECT);
  }
  return ends;
}

// If the group has only one end of an anonymous pipe, the other must be closed: the kernel then
// reports a hang-up (to the reader) or an error (to the writer).
Result<void> check_no_end_outside(const OpenFile& file, const Ends& ends) {
  if (is_named(file) || (ends.reader && ends.writer)) return {};
  pollfd state{file.fd, 0, 0};
  if (::poll(&state, 1, 0) < 0) return fail_errno("poll a pipe");
  short closed = ends.reader ? POLLHUP : POLLERR;
  if (state.revents & closed) return {};
  return Result<void>(fail(Code::kUnsupported, fmt::format("the {} end of the pipe is held by a "
                                                           "process outside of the group",
                                                           ends.reader ? "write" : "read")));
}

bool is_same_pipe(const image::File& file, const image::PipeEnd& pipe) {
  return file.has_pipe() && file.pipe().pipe() == pipe.pipe() &&
         file.pipe().device() == pipe.device();
}

std::string stash_key(uint32_t file) {
  return fmt::format("pipe of file {}", file);
}

// Both ends of the pipe: two descriptions, or one with both for a FIFO.
Result<PipePair> make_pipe(ApplyContext& context, const image::PipeEnd& pipe) {
  auto capacity = static_cast<int>(std::min<uint32_t>(pipe.capacity(), kEverything));
  if (!pipe.has_fifo()) {
    PipePair pair = TRY(make_pair(capacity));
    if (::fchown(pair.reader.get(), pipe.uid(), pipe.gid()) != 0)
      return fail_errno("set the owner of a pipe");
    return pair;
  }
  PipePair pair;
  pair.reader = TRY(open_path_file(context, pipe.fifo(), O_RDWR | O_NONBLOCK));
  pair.writer = TRY(pair.reader.duplicate());
  if (::fcntl(pair.writer.get(), F_SETPIPE_SZ, capacity) < 0)
    return fail_errno(fmt::format("give a FIFO {} bytes", capacity));
  return pair;
}

Result<void> fill(const PipePair& pair, const image::PipeEnd& pipe) {
  if (pipe.content().empty()) return {};
  TRY(set_status_flags(pair.writer.get(), O_NONBLOCK | (pipe.packets() ? O_DIRECT : 0)));
  for (const std::string& part : pipe.content())
    TRY_IN(write_full(pair.writer.get(), std::as_bytes(std::span(part))), "fill a pipe");
  return {};
}

// A description of the pipe. What pipe(2) made is handed out itself, because opening adds
// O_LARGEFILE, which F_GETFL reports; any other description of an end was opened. Packet mode
// cannot be asked for when a pipe is opened.
Result<Fd> open_end(const PipePair& pair, int flags, bool was_opened) {
  const Fd& end = reads(flags) ? pair.reader : pair.writer;
  Fd fd =
      was_opened ? TRY(reopen(end.get(), flags & (O_ACCMODE | O_NONBLOCK))) : TRY(end.duplicate());
  TRY(set_status_flags(fd.get(), flags));
  return fd;
}

Result<void> make_all_ends(ApplyContext& context, const image::PipeEnd& pipe) {
  constexpr int kLargeFile = 0100000;  // O_LARGEFILE, which the C library defines as 0
  PipePair pair = TRY(make_pipe(context, pipe));
  for (const auto& [id, file] : context.files())
    if (is_same_pipe(file, pipe)) TRY(fill(pair, file.pipe()));
  for (const auto& [id, file] : context.files()) {
    if (!is_same_pipe(file, pipe)) continue;
    auto flags = static_cast<int>(file.flags());
    bool was_opened = pipe.has_fifo() || (flags & kLargeFile) != 0;
    context.stash(stash_key(id), TRY(open_end(pair, flags, was_opened)));
  }
  return {};
}

class PipeKind final : public FileKind {
 public:
  std::string_view name() const override { return "pipe"; }

  bool recognises(const OpenFile& file) const override {
    return S_ISFIFO(file.status.st_mode) && !(file.flags & O_PATH);
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    Ends ends = ends_in_group(context, file);
    TRY(check_no_end_outside(file, ends));
    image::PipeEnd& pipe = *out.mutable_pipe();
    pipe.set_pipe(file.status.st_ino);
    pipe.set_device(file.status.st_dev);
    pipe.set_uid(file.status.st_uid);
    pipe.set_gid(file.status.st_gid);
    if (is_named(file)) *pipe.mutable_fifo() = TRY(capture_path_file(context, file));
    int capacity = ::fcntl(file.fd, F_GETPIPE_SZ);
    if (capacity < 0) return fail_errno("capacity of a pipe");
    pipe.set_capacity(static_cast<uint32_t>(capacity));
    if (!is_first_of_its_file(context, file)) return {};
    auto content = TRY(peek(file.fd, capacity));
    pipe.set_packets(ends.packets || content.size() > 1);
    pipe.mutable_content()->Assign(content.begin(), content.end());
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_pipe(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    if (auto ready = context.take_stashed(stash_key(file.id()))) return std::move(*ready);
    TRY(make_all_ends(context, file.pipe()));
    auto made = context.take_stashed(stash_key(file.id()));
    if (!made) return fail(Code::kBadImage, "pipe without a File record");
    return std::move(*made);
  }
};

}  // namespace

const FileKind& pipe_kind() {
  static const PipeKind kind;
  return kind;
}

}  // namespace martlet::engine
