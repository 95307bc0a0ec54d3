#include "engine/memory/content_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace martlet::engine {
// Looking for data moves the file offset, which `fd` may share with others.
Result<ContentReader> ContentReader::open(int fd) {
  return ContentReader(TRY(open_file(fmt::format("/proc/self/fd/{}", fd), O_RDONLY)));
}

Result<uint64_t> ContentReader::size() const {
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) return fail_errno("stat shared memory");
  return static_cast<uint64_t>(status.st_size);
}

Result<Ranges> ContentReader::data(uint64_t size) const {
  const Ranges whole{{0, page_end(size)}};
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
    ssize_t got = ::pread(file_.get(), pages.data(), pages.size(), static_cast<off_t>(at));
    if (got < 0) return fail_errno("read shared memory");
    std::ranges::fill(pages.subspan(static_cast<size_t>(got)), std::byte{0});
    TRY(visit(at, pages));
    at = end;
  }
  return {};
}

}  // namespace martlet::engine
