#include "engine/memory/page_filler.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

constexpr size_t kSmallRun = 4 * kPageSize;
constexpr size_t kGathered = 256u << 10;

Result<void> check_place(const FillTarget& target, const image::PageRun& run) {
  if (!overlap({run.address, run.address + run.length}, target.reserved)) return {};
  return fail(Code::kBadImage, "pages lie outside of the address space");
}

Result<void> fill_pages(HostPid pid, uint64_t address, std::span<const std::byte> pages) {
  auto written = sys::write_memory(pid, TargetAddr(address), pages);
  if (written || written.error().error_number() != EFAULT) return written;
  auto memory = TRY(sys::ForcedMemory::open(pid));
  return memory.write(TargetAddr(address), pages);
}

Result<void> fill_zero_pages(HostPid pid, const image::PageRun& run) {
  static constexpr std::array<std::byte, 64 * kPageSize> kZeros{};
  for (uint64_t done = 0; done < run.length; done += kZeros.size()) {
    auto part = std::span(kZeros).first(std::min<uint64_t>(kZeros.size(), run.length - done));
    TRY(fill_pages(pid, run.address + done, part));
  }
  return {};
}

}  // namespace

Result<void> fill(const FillTarget& target, const image::PageRun& run,
                  const image::Record& record) {
  TRY(check_place(target, run));
  if (record.type == image::RecordType::kZeroPages) return fill_zero_pages(target.pid, run);
  return fill_pages(target.pid, run.address, record.body);
}

Result<void> PageFiller::add(const FillTarget& target, const image::PageRun& run,
                             const image::Record& record) {
  if (target.pid != pid_ || pages_.size() + record.body.size() > kGathered) TRY(flush());
  if (record.type != image::RecordType::kPages || record.body.size() > kSmallRun) {
    TRY(flush());
    return fill(target, run, record);
  }
  TRY(check_place(target, run));
  pid_ = target.pid;
  places_.push_back({run.address, run.address + run.length});
  pages_.insert(pages_.end(), record.body.begin(), record.body.end());
  return {};
}

Result<void> PageFiller::flush() {
  const Ranges places = std::exchange(places_, {});
  const auto pages = std::exchange(pages_, {});
  if (places.empty() || sys::write_memory(pid_, places, pages)) return {};
  size_t done = 0;
  for (const sys::Range& place : places) {
    TRY(fill_pages(pid_, place.start, std::span(pages).subspan(done, place.size())));
    done += place.size();
  }
  return {};
}

}  // namespace martlet::engine
