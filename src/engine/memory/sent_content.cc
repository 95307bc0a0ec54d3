#include "engine/memory/sent_content.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxh_x86dispatch.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/clock.h"

namespace martlet::engine {
namespace {

constexpr uint64_t kOutlookStride = 8;  // one page of so many is looked at
constexpr size_t kMaxThreads = 8;
constexpr size_t kPiecesWorthAThread = 4;

image::PageRun run_of(uint32_t owner, uint64_t at, uint64_t size) {
  return {owner, image::PageRun::kSharedMemoryOwner, at, size};
}

// Threads that compare so many pieces.
size_t threads_for(size_t pieces) {
  size_t useful = std::min<size_t>(std::thread::hardware_concurrency(), kMaxThreads);
  return std::clamp<size_t>(pieces / kPiecesWorthAThread, 1, std::max<size_t>(useful, 1));
}

}  // namespace

SentContent::Hash SentContent::hash(std::span<const std::byte> page) {
  XXH128_hash_t hash = XXH3_128bits(page.data(), page.size());
  return {hash.low64, hash.high64};
}

SentContent::Hash SentContent::known(uint64_t at) const {
  auto piece = pieces_.find(at / ContentReader::kPiece);
  if (piece == pieces_.end()) return {};
  return piece->second[at / kPageSize % kPagesOfPiece];
}

Ranges SentContent::known_pages() const {
  Ranges pages;
  for (const auto& [number, piece] : pieces_)
    for (uint64_t i = 0; i < piece.size(); ++i) {
      uint64_t at = number * ContentReader::kPiece + i * kPageSize;
      if (piece[i] != Hash{}) sys::append(pages, {at, at + kPageSize});
    }
  return pages;
}

void SentContent::forget(const sys::Range& range) {
  for (uint64_t at = range.start; at < range.end; at += kPageSize)
    pieces_[at / ContentReader::kPiece][at / kPageSize % kPagesOfPiece] = Hash{};
}

Result<uint64_t> SentContent::put_changes(image::Sink& sink, uint32_t owner,
                                          ContentReader& reader) {
  return put_changes(
      reader,
      [&](uint64_t at, std::span<const std::byte> pages) {
        return image::put_pages(sink, run_of(owner, at, pages.size()), pages);
      },
      [&](sys::Range range) {
        return image::put_zero_pages(sink, run_of(owner, range.start, range.size()));
      });
}

Result<uint64_t> SentContent::put_changes(ContentReader& reader, const ContentReader::Visit& put,
                                          const PutZeros& put_zeros) {
  Ranges data = TRY(reader.data());
  Ranges gone = subtract(known_pages(), data);
  for (const sys::Range& range : gone) forget(range);
  for (const sys::Range& range :
       intersect(gone, {{0, page_end(reader.size())}}))  // the rest went with its size
    TRY(put_zeros(range));
  Ranges differing = TRY(find_differing(data, reader));
  for (const sys::Range& range : differing)
    TRY(reader.read(range, [&](uint64_t at, std::span<const std::byte> pages) {
      note(at, pages);
      return put(at, pages);
    }));
  return total_size(differing);
}

void SentContent::note(uint64_t at, std::span<const std::byte> pages) {
  Piece& piece = pieces_[at / ContentReader::kPiece];
  uint64_t first = at / kPageSize % kPagesOfPiece;
  for (uint64_t offset = 0; offset < pages.size(); offset += kPageSize)
    piece[first + offset / kPageSize] = hash(pages.subspan(offset, kPageSize));
}

// Pieces of which nothing was sent need no look.
Result<Ranges> SentContent::find_differing(const Ranges& data, const ContentReader& reader) const {
  std::vector<sys::Range> pieces;
  for (const sys::Range& range : data)
    for (uint64_t at = range.start; at < range.end; at = pieces.back().end)
      pieces.push_back(
          {at, std::min(range.end, (at / ContentReader::kPiece + 1) * ContentReader::kPiece)});
  std::vector<Result<Ranges>> found(pieces.size());
  std::atomic<size_t> next = 0;
  auto work = [&](ContentReader own) {
    for (size_t i = next++; i < pieces.size(); i = next++) found[i] = compare(pieces[i], own);
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < threads_for(pieces.size()); ++i)
      helpers.emplace_back(work, TRY(reader.duplicate()));
    work(TRY(reader.duplicate()));
  }
  Ranges differing;
  for (auto& part : found)
    for (const sys::Range& range : TRY(std::move(part))) sys::append(differing, range);
  return differing;
}

Result<Ranges> SentContent::compare(sys::Range within, ContentReader& reader) const {
  auto piece = pieces_.find(within.start / ContentReader::kPiece);
  if (piece == pieces_.end()) return Ranges{within};
  Ranges differing;
  TRY(reader.read(within, [&](uint64_t at, std::span<const std::byte> pages) -> Result<void> {
    for (uint64_t offset = 0; offset < pages.size(); offset += kPageSize)
      if (hash(pages.subspan(offset, kPageSize)) !=
          piece->second[(at + offset) / kPageSize % kPagesOfPiece])
        sys::append(differing, {at + offset, at + offset + kPageSize});
    return {};
  }));
  return differing;
}

Result<SentContent::Outlook> SentContent::outlook(ContentReader& reader) const {
  SystemClock clock;
  Stopwatch watch(clock);
  Outlook seen;
  for (const sys::Range& range : TRY(reader.data()))
    for (uint64_t at = range.start; at < range.end; at += kOutlookStride * kPageSize)
      TRY(reader.read({at, at + kPageSize},
                      [&](uint64_t, std::span<const std::byte> page) -> Result<void> {
                        if (hash(page) != known(at)) seen.changed_bytes += page.size();
                        return {};
                      }));
  seen.changed_bytes *= kOutlookStride;
  seen.seconds =
      watch.seconds() * kOutlookStride / static_cast<double>(threads_for(pieces_.size()));
  return seen;
}

}  // namespace martlet::engine
