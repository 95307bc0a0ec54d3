#include "image/stream_input.h"

#include <algorithm>
#include <cstring>

namespace martlet::image {

namespace {

// Small records are read this much at a time; of a large one exactly the missing bytes are read, so
// that nothing of the next one has to be moved to the front.
constexpr size_t kReadAheadBytes = 64u << 10;

class BufferedInput final : public StreamInput {
 public:
  explicit BufferedInput(ByteReader& reader) : reader_(reader) {}

  Result<std::span<const std::byte>> take(size_t length) override {
    if (end_ - begin_ < length) TRY(fill(length));
    std::span<const std::byte> piece(buffer_.get() + begin_, std::min(length, end_ - begin_));
    begin_ += piece.size();
    return piece;
  }

 private:
  Result<void> fill(size_t length) {
    make_room(std::max(length, kReadAheadBytes));
    size_t goal = std::max(length, kReadAheadBytes);
    while (end_ < length) {
      size_t got = TRY(reader_.read(std::span(buffer_.get() + end_, goal - end_)));
      if (got == 0) break;
      end_ += got;
    }
    return {};
  }

  // Moves what is left to the front of a buffer of at least `capacity` bytes.
  void make_room(size_t capacity) {
    size_t left = end_ - begin_;
    if (capacity > capacity_) {
      auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
      if (left > 0) std::memcpy(larger.get(), buffer_.get() + begin_, left);
      buffer_ = std::move(larger);
      capacity_ = capacity;
    } else if (left > 0) {
      std::memmove(buffer_.get(), buffer_.get() + begin_, left);
    }
    begin_ = 0;
    end_ = left;
  }

  ByteReader& reader_;
  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace

std::unique_ptr<StreamInput> make_buffered_input(ByteReader& reader) {
  return std::make_unique<BufferedInput>(reader);
}

}  // namespace martlet::image
