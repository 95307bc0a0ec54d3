#include "engine/memory/content_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace martlet::engine {
namespace {

// Looking for data moves the file offset, which `fd` may share with others.
Result<Fd> open_again(int fd) {
  return open_file(fmt::format("/proc/self/fd/{}", fd), O_RDONLY | O_NOATIME);
}

}  // namespace

Result<ContentReader> ContentReader::open(int fd) {
  Fd file = TRY(open_again(fd));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno("stat shared memory");
  return ContentReader(std::move(file), static_cast<uint64_t>(status.st_size));
}

Result<ContentReader> ContentReader::duplicate() const {
  return ContentReader(TRY(open_again(file_.get())), size_);
}

Result<Ranges> ContentReader::data() const {
  const Ranges whole{{0, page_end(size_)}};
  Ranges found;
  off_t position = 0;
  for (;;) {
    off_t data = ::lseek(file_.get(), position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return intersect(found, whole);
    if (data < 0) return fail_errno("seek in shared memory");
    off_t hole = ::lseek(file_.get(), data, SEEK_HOLE);
    if (hole < 0 && errno == ENXIO) return intersect(found, whole);  // it has become shorter
    if (hole < 0) return fail_errno("seek in shared memory");
    sys::append(found, {static_cast<uint64_t>(data), page_end(static_cast<uint64_t>(hole))});
    position = hole;
  }
}

Result<void> ContentReader::read(sys::Range range, const Visit& visit) {
  buffer_.resize(kPiece);
  for (uint64_t at = range.start; at < range.end;) {
    uint64_t end = std::min(range.end, (at / kPiece + 1) * kPiece);
    auto pages = std::span(buffer_).first(end - at);
    uint64_t there = size_ > at ? std::min<uint64_t>(pages.size(), size_ - at) : 0;
    ssize_t got = ::pread(file_.get(), pages.data(), there, static_cast<off_t>(at));
    if (got < 0) return fail_errno("read shared memory");
    std::ranges::fill(pages.subspan(static_cast<size_t>(got)), std::byte{0});
    TRY(visit(at, pages));
    at = end;
  }
  return {};
}

}  // namespace martlet::engine
