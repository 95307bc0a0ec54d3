// Reads a memory file (shared anonymous memory, a memfd, a System V segment) without its holes.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/memory/ranges.h"

namespace martlet::engine {

class ContentReader {
 public:
  // Pieces lie within one multiple of this.
  static constexpr uint64_t kPiece = 1u << 20;

  // `fd` leads to the file, and its offset stays as it is. What comes behind the end that the file
  // has now is left out. Nothing shows afterwards that it was read.
  static Result<ContentReader> open(int fd);

  // For another thread.
  Result<ContentReader> duplicate() const;

  // In bytes.
  uint64_t size() const { return size_; }
  // The parts that hold data, in whole pages.
  Result<Ranges> data() const;

  using Visit = std::function<Result<void>(uint64_t at, std::span<const std::byte> pages)>;
  // Calls `visit` for each piece of `range`, which is in whole pages. Behind the end of the file
  // there are zeros.
  Result<void> read(sys::Range range, const Visit& visit);

 private:
  ContentReader(Fd file, uint64_t size) : file_(std::move(file)), size_(size) {}
  Fd file_;
  uint64_t size_;
  std::vector<std::byte> buffer_;
};

}  // namespace martlet::engine
