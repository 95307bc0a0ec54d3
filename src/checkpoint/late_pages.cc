#include "checkpoint/late_pages.h"

#include <sys/mman.h>
#include <sys/user.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/ids.h"

namespace martlet::checkpoint {
namespace {

// A mapping with less goes as a whole: it costs less than waiting for it would.
constexpr uint64_t kWorthWaiting = 128u << 10;

// Around what is named by an address: below the top of a stack is what the function called next
// needs.
constexpr uint64_t kBefore = 2 * kPageSize;
constexpr uint64_t kBehind = 2 * kPageSize;

sys::Range around(uint64_t address) {
  uint64_t page = address / kPageSize * kPageSize;
  return {page - std::min(page, kBefore), page + kBehind};
}

std::vector<uint64_t> places_of(const image::Thread& thread) {
  std::vector<uint64_t> places = {thread.clear_child_tid(), thread.robust_list(),
                                  thread.rseq().address()};
  user_regs_struct registers{};
  if (thread.registers().size() == sizeof registers) {
    std::memcpy(&registers, thread.registers().data(), sizeof registers);
    places.push_back(registers.rsp);
    places.push_back(registers.fs_base);
  }
  return places;
}

}  // namespace

void LatePages::leave_out_used_by(const image::Process& process) {
  for (const image::Thread& thread : process.threads())
    for (uint64_t place : places_of(thread))
      if (place != 0) urgent_ = engine::unite(urgent_, {around(place)});
}

// A page that was locked must never be waited for. Memory that is wiped in a child would come to
// the child as well.
bool LatePages::allowed_in(const image::Mapping& mapping) {
  auto wiped = [](uint32_t advice) { return advice == MADV_WIPEONFORK; };
  return mapping.kind() == image::MAPPING_ANONYMOUS && !mapping.grows_down() && !mapping.locked() &&
         mapping.huge_page_bits() == 0 && std::ranges::none_of(mapping.advice(), wiped);
}

engine::Ranges LatePages::choose(const engine::Ranges& own) const {
  engine::Ranges late = engine::subtract(own, urgent_);
  return engine::total_size(late) < kWorthWaiting ? engine::Ranges{} : late;
}

}  // namespace martlet::checkpoint
