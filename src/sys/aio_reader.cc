#include "sys/aio_reader.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/fd.h"
#include "sys/kernel_types.h"
#include "sys/procfs.h"

namespace martlet::sys {

// Offsets and sizes in bytes.
struct AioReader::Layout {
  uint32_t table;  // in the memory descriptor
  struct {
    uint32_t count, contexts;
  } in_table;
  struct {
    uint32_t size, requests, id, max_requests, places, cancellable, tail;
  } context;

  static Result<Layout> find(const KernelTypes& types);
};

namespace {

constexpr uint32_t kMostContexts = 1u << 20;

}  // namespace

Result<AioReader::Layout> AioReader::Layout::find(const KernelTypes& types) {
  auto of_context = [&](const char* member) { return types.offset_of("kioctx", member); };
  Layout found{};
  found.table = TRY(types.offset_of("mm_struct", "ioctx_table"));
  found.in_table = {TRY(types.offset_of("kioctx_table", "nr")),
                    TRY(types.offset_of("kioctx_table", "table"))};
  found.context = {TRY(types.size_of("kioctx")), TRY(of_context("reqs.percpu_count_ptr")),
                   TRY(of_context("user_id")),   TRY(of_context("max_reqs")),
                   TRY(of_context("nr_events")), TRY(of_context("active_reqs")),
                   TRY(of_context("tail"))};
  return found;
}

AioReader::AioReader(KernelMemory memory, const Layout& layout, std::vector<uint64_t> per_cpu)
    : memory_(std::move(memory)),
      layout_(std::make_shared<Layout>(layout)),
      per_cpu_(std::move(per_cpu)) {}

Result<AioReader> AioReader::load() {
  const auto types = TRY(KernelTypes::load());
  const Layout layout = TRY(Layout::find(types));
  KernelMemory memory = TRY(KernelMemory::load(types));
  auto per_cpu = TRY(memory.per_cpu_offsets(types));
  AioReader loaded(std::move(memory), layout, std::move(per_cpu));
  TRY_IN(loaded.learn(), "read a known AIO context");
  return loaded;
}

const Result<AioReader>& AioReader::shared() {
  static const Result<AioReader> one = load();
  return one;
}

Result<std::vector<AioContext>> AioReader::read(HostPid living) const {
  const Fd memory = TRY(open_file(proc_path(living, "mem"), O_RDONLY));
  const auto descriptor = TRY(memory_.private_data_of(memory.get()));
  std::vector<AioContext> contexts;
  const auto table = TRY(memory_.read_value<KernelAddress>(descriptor + layout_->table));
  if (!table) return contexts;
  const auto count = TRY(memory_.read_value<uint32_t>(table + layout_->in_table.count));
  if (count > kMostContexts) return fail(Code::kSystem, "impossibly many AIO contexts");
  const auto places = TRY(
      memory_.read_object(table + layout_->in_table.contexts, size_t{count} * sizeof(uint64_t)));
  for (uint32_t i = 0; i < count; ++i)
    if (auto at = places.at<KernelAddress>(i * static_cast<uint32_t>(sizeof(uint64_t))))
      contexts.push_back(TRY(read_context(at)));
  return contexts;
}

Result<AioContext> AioReader::read_context(KernelAddress at) const {
  const auto& layout = layout_->context;
  const auto object = TRY(memory_.read_object(at, layout.size));
  AioContext context;
  context.id = object.at<uint64_t>(layout.id);
  context.max_requests = object.at<uint32_t>(layout.max_requests);
  context.places = object.at<uint32_t>(layout.places);
  context.tail = object.at<uint32_t>(layout.tail);
  context.in_flight = TRY(count_requests(object.at<uint64_t>(layout.requests)));
  // A list without members is a ring that consists of its own head.
  context.polls = object.at<KernelAddress>(layout.cancellable) != at + layout.cancellable;
  return context;
}

// The reference of the context itself is among them. A counter that is not kept per processor is
// marked in its lowest bits; that of a context which lives is.
Result<uint64_t> AioReader::count_requests(uint64_t counter) const {
  constexpr uint64_t kMarks = 3;
  if ((counter & kMarks) != 0) return fail(Code::kSystem, "an AIO context that ends");
  uint64_t references = 0;
  for (uint64_t offset : per_cpu_)
    references += TRY(memory_.read_value<uint64_t>(KernelAddress{counter} + offset));
  if (references == 0) return fail(Code::kSystem, "an AIO context without references");
  return references - 1;
}

namespace {

// A context of this process with a request that waits until an eventfd is signalled.
class Sample {
 public:
  static Result<Sample> make() {
    Sample sample;
    sample.event_ = Fd(::eventfd(0, EFD_CLOEXEC));
    if (!sample.event_.valid()) return fail_errno("eventfd");
    if (::syscall(SYS_io_setup, 1, &sample.id_) != 0) return fail_errno("io_setup");
    return sample;
  }
  Sample(Sample&& other) noexcept
      : event_(std::move(other.event_)), id_(std::exchange(other.id_, 0)) {}
  ~Sample() {
    if (id_ != 0) ::syscall(SYS_io_destroy, id_);
  }

  Result<void> submit() const {
    iocb request{};
    request.aio_lio_opcode = IOCB_CMD_POLL;
    request.aio_fildes = static_cast<uint32_t>(event_.get());
    request.aio_buf = POLLIN;
    std::array<iocb*, 1> requests = {&request};
    if (::syscall(SYS_io_submit, id_, 1, requests.data()) != 1) return fail_errno("io_submit");
    return {};
  }
  Result<void> complete() const {
    if (::eventfd_write(event_.get(), 1) != 0) return fail_errno("signal an eventfd");
    io_event event{};
    if (::syscall(SYS_io_getevents, id_, 1, 1, &event, nullptr) != 1)
      return fail_errno("io_getevents");
    return {};
  }
  Result<AioContext> seen_by(const AioReader& reader) const {
    for (const AioContext& context : TRY(reader.read(HostPid(::getpid()))))
      if (context.id == id_) return context;
    return fail(Code::kSystem, "it is not seen");
  }

 private:
  Sample() = default;
  Fd event_;
  aio_context_t id_ = 0;
};

}  // namespace

// The event of a request is read an instant before the request is gone.
Result<void> AioReader::learn() const {
  constexpr int kLooks = 10'000;
  const Sample sample = TRY(Sample::make());
  const AioContext idle = TRY(sample.seen_by(*this));
  TRY(sample.submit());
  const AioContext busy = TRY(sample.seen_by(*this));
  TRY(sample.complete());
  AioContext done = TRY(sample.seen_by(*this));
  for (int looks = 0; done.in_flight != 0 && looks < kLooks; ++looks)
    done = TRY(sample.seen_by(*this));
  const bool same = idle.max_requests == 1 && idle.places > 1 && idle.tail == 0 &&
                    idle.in_flight == 0 && !idle.polls && busy.in_flight == 1 && busy.polls &&
                    done.in_flight == 0 && !done.polls && done.tail == 1;
  if (!same) return fail(Code::kSystem, "it is not what it is known to be");
  return {};
}

}  // namespace martlet::sys
