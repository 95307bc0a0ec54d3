// A record stream in a file.
//
// A regular file is mapped and its records are handed out in place: the only copy is the one into
// the restored memory. The mapping is populated a window ahead and released behind, so that reading
// costs no page fault per page and holds no more than two windows of memory. Populating reports a
// page that cannot be read (a file that shrank, a bad disk) as an error; touching it would be
// SIGBUS.
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/ids.h"
#include "image/byte_stream.h"
#include "image/stream_input.h"

namespace martlet::image {

namespace {

constexpr size_t kWindowBytes = 8u << 20;

class FileWriter final : public ByteWriter {
 public:
  explicit FileWriter(int fd) : fd_(fd) {}

  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    std::vector<iovec> left;
    for (auto piece : pieces)
      if (!piece.empty()) left.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
    for (size_t first = 0; first < left.size();) {
      ssize_t put = ::writev(fd_, &left[first], static_cast<int>(left.size() - first));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail_errno("write the image");
      first = advance(left, first, static_cast<size_t>(put));
    }
    return {};
  }

 private:
  // Takes `done` bytes off the pieces from `first` on; returns the first piece with bytes left.
  static size_t advance(std::vector<iovec>& pieces, size_t first, size_t done) {
    while (first < pieces.size() && done >= pieces[first].iov_len) done -= pieces[first++].iov_len;
    if (done > 0) {
      pieces[first].iov_base = static_cast<std::byte*>(pieces[first].iov_base) + done;
      pieces[first].iov_len -= done;
    }
    return first;
  }

  int fd_;
};

class FileReader final : public ByteReader {
 public:
  explicit FileReader(int fd) : fd_(fd) {}

  Result<size_t> read(std::span<std::byte> buffer) override {
    for (;;) {
      ssize_t got = ::read(fd_, buffer.data(), buffer.size());
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) return fail_errno("read the image");
    }
  }

 private:
  int fd_;
};

class MappedInput final : public StreamInput {
 public:
  MappedInput(std::byte* base, size_t size, size_t start) : base_(base), size_(size), next_(start) {
    populated_ = released_ = start / kPageSize * kPageSize;
  }
  ~MappedInput() override { ::munmap(base_, size_); }
  MappedInput(const MappedInput&) = delete;
  MappedInput& operator=(const MappedInput&) = delete;

  Result<std::span<const std::byte>> take(size_t length) override {
    release_behind();
    std::span<const std::byte> piece(base_ + next_, std::min(length, size_ - next_));
    TRY(populate_to(next_ + piece.size()));
    next_ += piece.size();
    return piece;
  }

 private:
  Result<void> populate_to(size_t end) {
    while (populated_ < end) {
      size_t window = std::min(std::max(kWindowBytes, end - populated_), size_ - populated_);
      if (::madvise(base_ + populated_, window, MADV_POPULATE_READ) != 0)
        return fail_errno("read the image at byte " + std::to_string(populated_));
      populated_ = std::min(size_, (populated_ + window + kPageSize - 1) / kPageSize * kPageSize);
    }
    return {};
  }

  void release_behind() {
    size_t behind = next_ / kPageSize * kPageSize;
    if (behind - released_ < kWindowBytes) return;
    ::madvise(base_ + released_, behind - released_, MADV_DONTNEED);
    released_ = behind;
  }

  std::byte* base_;
  size_t size_;
  size_t next_;
  size_t populated_;  // up to here every page is mapped, or was
  size_t released_;   // below here no page is mapped any more
};

// Reader and writer together with the record format on top of them.
class FileSink final : public Sink {
 public:
  explicit FileSink(int fd) : writer_(fd), sink_(make_sink(writer_)) {}
  Result<void> put(RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override {
    return sink_->put(type, head, body);
  }
  Result<void> flush() override { return sink_->flush(); }

 private:
  FileWriter writer_;
  std::unique_ptr<Sink> sink_;
};

class StreamingFileSource final : public Source {
 public:
  explicit StreamingFileSource(int fd) : reader_(fd), source_(make_source(reader_)) {}
  Result<Record> next() override { return source_->next(); }

 private:
  FileReader reader_;
  std::unique_ptr<Source> source_;
};

std::unique_ptr<StreamInput> map_file(int fd) {
  struct stat status;
  off_t start = ::lseek(fd, 0, SEEK_CUR);
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || start < 0 || start > status.st_size)
    return nullptr;
  auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return nullptr;
  void* base = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return nullptr;
  return std::make_unique<MappedInput>(static_cast<std::byte*>(base), size,
                                       static_cast<size_t>(start));
}

}  // namespace

std::unique_ptr<Sink> make_file_sink(int fd) {
  return std::make_unique<FileSink>(fd);
}

std::unique_ptr<Source> make_file_source(int fd) {
  if (auto mapped = map_file(fd)) return make_source(std::move(mapped));
  return std::make_unique<StreamingFileSource>(fd);
}

}  // namespace martlet::image
