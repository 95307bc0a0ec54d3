#include "engine/memory/aio_contexts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "base/fd.h"
#include "engine/memory/ranges.h"
#include "engine/program.h"
#include "sys/aio_reader.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

// The requests that all contexts of the host have room for.
constexpr const char* kHostTotal = "/proc/sys/fs/aio-nr";
constexpr Nanoseconds kLookAgain = std::chrono::microseconds(200);

// As the kernel begins a ring. Its events follow, so many that they fill the last page.
struct RingHeader {
  uint32_t index, places, head, tail, magic, compatible, incompatible, size;
};
static_assert(sizeof(RingHeader) == sizeof(io_event));
constexpr uint32_t kMagic = 0xa10a10a1;
constexpr uint32_t kPlacesOfPage = kPageSize / sizeof(io_event);

bool anybody_has_one() {
  auto total = read_file(kHostTotal);
  return !total || !total->starts_with("0\n");
}

bool maps_ring(HostPid living) {
  auto vmas = sys::read_maps(living);
  return !vmas || std::ranges::any_of(*vmas, is_aio_ring);
}

enum class Requests { kNone, kInFlight, kEndless };

Requests requests_of(HostPid living) {
  const auto& reader = sys::AioReader::shared();
  if (!reader) return maps_ring(living) ? Requests::kEndless : Requests::kNone;
  auto contexts = reader->read(living);
  if (!contexts || std::ranges::any_of(*contexts, &sys::AioContext::polls))
    return Requests::kEndless;
  auto is_idle = [](const sys::AioContext& context) { return context.in_flight == 0; };
  return std::ranges::all_of(*contexts, is_idle) ? Requests::kNone : Requests::kInFlight;
}

// Where in memory `count` events lie, from the place `first` on.
Ranges where_events_are(const image::AioContext& context, uint32_t first, uint32_t count) {
  auto address = [&](uint32_t place) {
    return context.ring() + sizeof(RingHeader) + place * sizeof(io_event);
  };
  const uint32_t before_end = std::min(count, context.places() - first);
  Ranges ranges;
  if (before_end > 0) ranges.push_back({address(first), address(first + before_end)});
  if (before_end < count) ranges.push_back({address(0), address(count - before_end)});
  return ranges;
}

Result<void> refuse_requests(const sys::AioContext& context) {
  if (context.polls)
    return fail(Code::kUnsupported,
                "a request waits for a file to become ready (IOCB_CMD_POLL of io_submit)");
  if (context.in_flight == 0) return {};
  return fail(Code::kUnsupported,
              fmt::format("{} requests (io_submit) do not end", context.in_flight));
}

Result<image::AioContext> describe(const sys::AioContext& context,
                                   const sys::ForcedMemory& memory) {
  TRY(refuse_requests(context));
  RingHeader ring{};
  TRY(memory.read(TargetAddr(context.id), std::as_writable_bytes(std::span(&ring, 1))));
  if (ring.magic != kMagic || ring.places != context.places || ring.head >= ring.places ||
      ring.tail != context.tail)
    return fail(Code::kUnsupported, "the process has written into the header of its ring");
  image::AioContext out;
  out.set_ring(context.id);
  out.set_max_requests(context.max_requests);
  out.set_places(ring.places);
  out.set_head(ring.head);
  const uint32_t unread = (ring.tail + ring.places - ring.head) % ring.places;
  for (const sys::Range& range : where_events_are(out, ring.head, unread)) {
    std::string events(range.size(), '\0');
    TRY(memory.read(TargetAddr(range.start), std::as_writable_bytes(std::span(events))));
    out.mutable_unread()->append(events);
  }
  return out;
}

uint64_t ring_bytes(uint32_t places) {
  return (uint64_t{places} + 1) * sizeof(io_event);
}

const image::Mapping* mapping_of(const image::AddressSpace& space, uint64_t ring, uint32_t places) {
  auto found = std::ranges::find_if(space.mappings(), [&](const image::Mapping& mapping) {
    return mapping.kind() == image::MAPPING_AIO_RING && mapping.start() == ring &&
           mapping.end() - mapping.start() == ring_bytes(places);
  });
  return found == space.mappings().end() ? nullptr : &*found;
}

std::string name_of(uint64_t ring) {
  return fmt::format("AIO context {:x}", ring);
}

}  // namespace

bool is_aio_ring(const sys::Vma& vma) {
  return vma.path.starts_with("/[aio]");
}

AioUse find_aio_use(HostPid root) {
  auto has_one = [](HostPid pid) { return maps_ring(sys::living_thread(pid)); };
  if (!anybody_has_one() || std::ranges::none_of(sys::list_tree(root), has_one))
    return AioUse::kNone;
  return sys::AioReader::shared() ? AioUse::kReadable : AioUse::kUnreadable;
}

std::vector<HostPid> await_aio_requests(const std::vector<FrozenProcess>& processes,
                                        Nanoseconds longest) {
  std::vector<HostPid> busy;
  SystemClock clock;
  const Nanoseconds deadline = clock.now() + longest;
  for (const FrozenProcess& process : processes) {
    if (process.zombie) continue;
    Requests left = requests_of(process.living);
    for (; left == Requests::kInFlight && clock.now() < deadline;
         left = requests_of(process.living))
      clock.sleep_for(kLookAgain);
    if (left != Requests::kNone) busy.push_back(process.pid);
  }
  return busy;
}

// A child has its parent's rings mapped, without the contexts. A context whose ring is not mapped
// cannot be named in any call.
Result<image::AioContexts> capture_aio_contexts(HostPid living, const image::AddressSpace& space) {
  image::AioContexts out;
  if (std::ranges::find(space.mappings(), image::MAPPING_AIO_RING, &image::Mapping::kind) ==
      space.mappings().end())
    return out;
  const auto& reader = sys::AioReader::shared();
  if (!reader)
    return fail(Code::kUnsupported, "asynchronous I/O (io_setup), whose requests cannot be seen: " +
                                        reader.error().to_string());
  auto memory = TRY(sys::ForcedMemory::open(living));
  for (const sys::AioContext& context : TRY(reader->read(living))) {
    if (mapping_of(space, context.id, context.places) == nullptr)
      return fail(Code::kUnsupported, name_of(context.id) + ": its ring is not mapped as a whole");
    *out.add_contexts() = TRY_IN(describe(context, memory), name_of(context.id));
  }
  return out;
}

namespace {

// The fewest requests for which a ring has so many places, on a host with few processors.
uint32_t fewest_requests(uint32_t places) {
  const uint32_t pages = (places + 1) / kPlacesOfPage;
  return pages > 1 ? (pages - 1) * kPlacesOfPage / 2 - 1 : 1;
}

bool is_sound(const image::AioContext& context) {
  return context.max_requests() > 0 && context.max_requests() < context.places() &&
         context.head() < context.places() && context.unread().size() % sizeof(io_event) == 0 &&
         context.unread().size() / sizeof(io_event) < context.places();
}

// A context in a task, at first where the kernel has put it.
class NewContext {
 public:
  static Result<NewContext> make(Task& task, int empty_file, const image::AioContext& wanted) {
    const uint32_t requests = std::max(wanted.max_requests(), fewest_requests(wanted.places()));
    Program program(task.arena());
    TargetAddr id = program.put_value(aio_context_t{0});
    program.call("io_setup", SYS_io_setup, {requests, id});
    auto outcome = task.run(program);
    if (!outcome && outcome.error().error_number() == EAGAIN)
      return std::unexpected(
          std::move(outcome.error()).with_remedy("raise fs.aio-max-nr on this host"));
    TRY(std::move(outcome));
    NewContext made(task, empty_file, wanted, program.output_value<aio_context_t>(id));
    const uint32_t places = TRY(made.header()).places;
    if (places != wanted.places())
      return std::unexpected(
          Error(Code::kUnsupported,
                fmt::format("its ring has {} places here and had {}", places, wanted.places()))
              .with_remedy("take a host with as many processors"));
    return made;
  }

  Result<void> move(const image::Mapping& to) {
    const uint64_t size = to.end() - to.start();
    Program program(task_.arena());
    program.call("move ring", SYS_mremap,
                 {id_, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to.start()});
    if (to.protection() != (PROT_READ | PROT_WRITE))
      program.call("protect ring", SYS_mprotect, {to.start(), size, to.protection()});
    TRY(task_.run(program));
    id_ = to.start();
    return {};
  }

  // The events of requests that do nothing are read up to the first that is to be unread, and the
  // rest become those of the image.
  Result<void> fill() const {
    const auto unread = static_cast<uint32_t>(wanted_.unread().size() / sizeof(io_event));
    TRY(submit(wanted_.head(), Events::kRead));
    TRY(submit(unread, Events::kLeave));
    const RingHeader ring = TRY(header());
    if (ring.head != wanted_.head() || ring.tail != (ring.head + unread) % ring.places)
      return fail(Code::kSystem, fmt::format("its ring goes from {} to {}", ring.head, ring.tail));
    const Ranges places = where_events_are(wanted_, ring.head, unread);
    return sys::write_memory(task_.host_pid(), places, std::as_bytes(std::span(wanted_.unread())));
  }

 private:
  enum class Events { kRead, kLeave };

  NewContext(Task& task, int empty_file, const image::AioContext& wanted, uint64_t id)
      : task_(task), empty_file_(empty_file), wanted_(wanted), id_(id) {}

  Result<RingHeader> header() const {
    return sys::read_value<RingHeader>(task_.host_pid(), TargetAddr(id_));
  }

  Result<void> submit(uint32_t count, Events events) const {
    constexpr uint32_t kAtOnce = kPlacesOfPage / 2;  // fewer than the smallest ring takes
    for (; count > kAtOnce; count -= kAtOnce) TRY(submit_some(kAtOnce, events));
    return count > 0 ? submit_some(count, events) : Result<void>();
  }

  Result<void> submit_some(uint32_t count, Events events) const {
    Program program(task_.arena());
    iocb request{};
    request.aio_lio_opcode = IOCB_CMD_PREAD;
    request.aio_fildes = static_cast<uint32_t>(empty_file_);
    const std::vector<uint64_t> requests(count, program.put_value(request).value);
    auto submitted = program.call("io_submit", SYS_io_submit,
                                  {id_, count, program.put(std::as_bytes(std::span(requests)))});
    if (events == Events::kRead)
      program.call("io_getevents", SYS_io_getevents,
                   {id_, 0, count, program.reserve(count * sizeof(io_event)), 0});
    TRY(task_.run(program));
    if (program.result(submitted) != count)
      return fail(Code::kUnsupported, "its ring does not take as many unread events here");
    return {};
  }

  Task& task_;
  int empty_file_;
  const image::AioContext& wanted_;
  uint64_t id_;
};

Result<void> restore_one(Task& task, int empty_file, const image::AddressSpace& space,
                         const image::AioContext& wanted) {
  const image::Mapping* mapping = mapping_of(space, wanted.ring(), wanted.places());
  if (mapping == nullptr || !is_sound(wanted)) return fail(Code::kBadImage, "is not possible");
  NewContext made = TRY(NewContext::make(task, empty_file, wanted));
  TRY(made.move(*mapping));
  return made.fill();
}

}  // namespace

Result<void> restore_aio_contexts(Task& task, DescriptorChannel& channel,
                                  const image::AddressSpace& space,
                                  const image::AioContexts& wanted) {
  if (wanted.contexts().empty()) return {};
  const Fd empty = TRY(open_file("/dev/null", O_RDONLY));
  const std::array<int, 1> sent = {empty.get()};
  const int number = TRY(channel.send(task, sent))[0];
  for (const image::AioContext& context : wanted.contexts())
    TRY_IN(restore_one(task, number, space, context), name_of(context.ring()));
  TRY(task.call("close", SYS_close, {number}));
  return {};
}

}  // namespace martlet::engine
