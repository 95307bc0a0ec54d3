#include "engine/memory/arriving_memory.h"

#include <poll.h>

#include <algorithm>
#include <map>

namespace martlet::engine {
namespace {

using Outcome = sys::Userfaultfd::Outcome;

// How long a change of mappings is waited for that the kernel is about to tell.
constexpr int kChangeMs = 1;

// No mapping can be there: putting a page there only tells whether the process still exists.
constexpr uint64_t kLastPage = 0x7fff'ffff'e000;

}  // namespace

void ArrivingMemory::add(NsPid process, sys::Userfaultfd userfaultfd, const Ranges& missing) {
  spaces_.push_back(
      {next_number_++, process, std::move(userfaultfd), MissingMap(missing), {}, false});
}

// The kernel puts nothing while it has events to tell, so what is put goes to where the events read
// so far say that it belongs.
Result<void> ArrivingMemory::put(NsPid process, uint64_t address,
                                 std::span<const std::byte> pages) {
  for (auto space = spaces_.begin(); space != spaces_.end();) {
    if (space->process == process && TRY(put_into(*space, address, pages)) == Progress::kRepeat) {
      TRY(await_events());
      TRY(handle_events());
      space = spaces_.begin();  // a fork may have added one; what was put is not put again
    } else {
      ++space;
    }
  }
  wanted_.erase(wanted_.lower_bound({process, address}),
                wanted_.lower_bound({process, address + pages.size()}));
  return {};
}

Result<ArrivingMemory::Progress> ArrivingMemory::put_into(Space& space, uint64_t address,
                                                          std::span<const std::byte> pages) {
  const sys::Range origin{address, address + pages.size()};
  bool single = false;  // page by page, where a run crosses mappings
  uint64_t absent = 0;  // the page that was in no mapping a moment ago
  while (!space.gone) {
    auto piece = space.missing.place_of(origin);
    if (!piece) break;
    uint64_t size = single ? kPageSize : piece->here.size();
    auto put = TRY(space.userfaultfd.copy(TargetAddr(piece->here.start),
                                          pages.subspan(piece->origin - address, size)));
    if (put.bytes > 0) {
      space.missing.drop({piece->here.start, piece->here.start + put.bytes});
      continue;
    }
    sys::Range page{piece->here.start, piece->here.start + kPageSize};
    switch (put.outcome) {
      case Outcome::kDone: break;
      case Outcome::kChanging: return Progress::kRepeat;
      case Outcome::kGone: space.gone = true; break;
      case Outcome::kNoMemory: return fail(Code::kNoSpace, "no memory for pages that arrive");
      case Outcome::kNoMapping:
        if (!std::exchange(single, true) && size > kPageSize) break;
        // A mapping that began to move after the call did is gone from here as well. The next call
        // finds that there is an event to be read first.
        if (std::exchange(absent, page.start) != page.start) break;
        [[fallthrough]];
      case Outcome::kPageExists: space.missing.drop(page); TRY(space.userfaultfd.wake(page));
    }
  }
  if (space.gone) space.missing = {};
  return Progress::kDone;
}

// Nothing needs to be put: a page that is not to come reads as zeros.
Result<void> ArrivingMemory::put_zeros(NsPid process, sys::Range range) {
  TRY(handle_events());
  for (Space& space : spaces_) {
    if (space.process != process) continue;
    while (auto piece = space.missing.place_of(range)) {
      space.missing.drop(piece->here);
      TRY(space.userfaultfd.wake(piece->here));
    }
  }
  wanted_.erase(wanted_.lower_bound({process, range.start}),
                wanted_.lower_bound({process, range.end}));
  return {};
}

Result<void> ArrivingMemory::handle_events() {
  for (Space& space : spaces_) TRY(handle_events(space));  // grows at its end meanwhile
  return {};
}

// Whoever waits for a page that was moved or given up waits for something that does not come: it is
// woken and touches again.
Result<void> ArrivingMemory::handle_events(Space& space) {
  using Kind = sys::Userfaultfd::Event::Kind;
  if (space.gone) return {};
  std::set<uint64_t> faults = std::exchange(space.deferred, {});
  while (auto event = TRY(space.userfaultfd.next_event())) {
    switch (event->kind) {
      case Kind::kMissing: faults.insert(event->range.start); break;
      case Kind::kFork:
        spaces_.push_back({next_number_++,
                           space.process,
                           sys::Userfaultfd::adopt(std::move(event->child)),
                           space.missing,
                           {},
                           false});
        break;
      case Kind::kMoved:
        space.missing.move(event->range, event->moved_to.value);
        TRY(space.userfaultfd.wake(event->range));
        break;
      case Kind::kDropped:
      case Kind::kUnmapped:
        space.missing.drop(event->range);
        TRY(space.userfaultfd.wake(event->range));
        break;
    }
  }
  for (uint64_t page : faults) TRY(answer_fault(space, page));
  return {};
}

Result<void> ArrivingMemory::answer_fault(Space& space, uint64_t page) {
  if (auto origin = space.missing.origin_of(page)) {
    MissingPage missing{space.process, *origin};
    if (!wanted_.insert(missing).second) return {};
    ++faults_;
    fresh_.push_back(missing);
    return {};
  }
  sys::Range range{page, page + kPageSize};
  switch (TRY(space.userfaultfd.zero(range)).outcome) {
    case Outcome::kDone: return {};
    case Outcome::kPageExists:
    case Outcome::kNoMapping: return space.userfaultfd.wake(range);
    case Outcome::kChanging:
    case Outcome::kNoMemory: space.deferred.insert(page); return {};
    case Outcome::kGone:
      space.gone = true;
      space.missing = {};
      return {};
  }
  return {};
}

bool ArrivingMemory::has_deferred() const {
  return std::ranges::any_of(spaces_, [](const Space& space) { return !space.deferred.empty(); });
}

Result<void> ArrivingMemory::await_events() const {
  std::vector<pollfd> ready;
  for (const Descriptor& each : descriptors()) ready.push_back({each.fd, POLLIN, 0});
  if (::poll(ready.data(), ready.size(), kChangeMs) < 0 && errno != EINTR)
    return fail_errno("wait for userfaultfd");
  return {};
}

Result<void> ArrivingMemory::forget_ended() {
  for (Space& space : spaces_) {
    if (space.gone) continue;
    auto put = TRY(space.userfaultfd.zero({kLastPage, kLastPage + kPageSize}));
    space.gone = put.outcome == Outcome::kGone;
  }
  spaces_.remove_if([](const Space& space) { return space.gone; });
  return {};
}

std::vector<MissingPage> ArrivingMemory::take_wanted() {
  return std::exchange(fresh_, {});
}

void ArrivingMemory::want_again() {
  fresh_.clear();
  for (const MissingPage& page : wanted_) {
    bool missed = std::ranges::any_of(spaces_, [&](const Space& space) {
      return space.process == page.process &&
             space.missing.place_of({page.address, page.address + kPageSize});
    });
    if (missed) fresh_.push_back(page);
  }
  wanted_ = {fresh_.begin(), fresh_.end()};
}

std::vector<std::pair<NsPid, Ranges>> ArrivingMemory::missing() const {
  std::map<NsPid, Ranges> all;
  for (const Space& space : spaces_) {
    if (space.gone || space.missing.empty()) continue;
    Ranges& of_process = all[space.process];
    of_process = unite(of_process, space.missing.origins());
  }
  return {all.begin(), all.end()};
}

bool ArrivingMemory::complete() const {
  return std::ranges::all_of(spaces_, [](const Space& space) { return space.missing.empty(); });
}

std::vector<ArrivingMemory::Descriptor> ArrivingMemory::descriptors() const {
  std::vector<Descriptor> all;
  for (const Space& space : spaces_)
    if (!space.gone) all.push_back({space.number, space.userfaultfd.fd().get()});
  return all;
}

}  // namespace martlet::engine
