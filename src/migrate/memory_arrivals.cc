#include "migrate/memory_arrivals.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>

#include "base/log.h"
#include "image/byte_stream.h"
#include "sys/thread_priority.h"

namespace martlet::migrate {
namespace {

constexpr std::chrono::milliseconds kIdleTimeout = std::chrono::hours(24);
constexpr std::chrono::milliseconds kRetryInterval{500};
constexpr std::chrono::milliseconds kLookInterval{200};
constexpr std::chrono::seconds kReplaceTimeout{10};
constexpr int kRunsPerMessage = 50'000;

void send_complete(MessageChannel& messages) {
  protocol::Message complete;
  complete.mutable_memory_complete();
  (void)messages.send(complete);  // a source that does not hear it asks again
}

}  // namespace

MemoryArrival::MemoryArrival(Host& host, const Journal& journal, const Cancellation& stopping,
                             JournalEntry entry, std::unique_ptr<KeeperLink> keeper)
    : host_(host),
      journal_(journal),
      stopping_(stopping),
      entry_(std::move(entry)),
      keeper_(std::move(keeper)) {
  describe();
  watcher_ = std::thread([this] { watch(); });
}

MemoryArrival::~MemoryArrival() {
  watcher_.join();
}

// The only thread that settles how it ended.
void MemoryArrival::watch() {
  bool ended = false;
  while (!ended) {
    ended = keeper_->await_end(kLookInterval) != KeeperLink::State::kMissing;
    if (stopping_.cancelled()) return changed_.notify_all();
    std::unique_lock lock(mutex_);
    ended = ended || !lost_.empty();
    lock.unlock();
    describe();
  }
  if (keeper_->state() == KeeperLink::State::kLost)
    lose("the process that kept its missing pages was ended");
  for (;;) {
    auto settled = settle();
    if (settled) break;
    spdlog::error("container {}: end of the arrival of its memory: {}; trying again",
                  entry_.container, settled.error().to_string());
    if (!stopping_.sleep(kRetryInterval)) break;
  }
  changed_.notify_all();
}

// A container whose memory is lost is ended before its missing pages could read as zeros.
Result<void> MemoryArrival::settle() {
  std::unique_lock lock(mutex_);
  std::string lost = lost_;
  lock.unlock();
  if (!lost.empty() && keeper_->state() != KeeperLink::State::kComplete) {
    TRY(host_.end_lost(entry_.container, entry_.incarnation, lost));
    spdlog::error("container {}: it was ended: {}", entry_.container, lost);
    keeper_->discard();
  }
  entry_.state = JournalState::kArrived;
  TRY(journal_.write(entry_));
  keeper_->clean_up();
  host_.note_arriving(entry_.container, "");
  lock.lock();
  settled_ = true;
  return {};
}

void MemoryArrival::lose(const std::string& reason) {
  std::lock_guard lock(mutex_);
  if (lost_.empty()) lost_ = reason;
}

Result<void> MemoryArrival::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return settled_ || stopping_.cancelled(); });
  return settled_ ? Result<void>{} : stopping_.check();
}

bool MemoryArrival::is_settled() {
  std::lock_guard lock(mutex_);
  return settled_;
}

void MemoryArrival::describe() {
  host_.note_arriving(entry_.container,
                      fmt::format("memory arrives from {}: {:.1f} MiB to come", entry_.peer,
                                  static_cast<double>(left_) / (1 << 20)));
}

Result<void> MemoryArrival::serve_memory(std::unique_ptr<TlsConnection> connection) {
  sys::set_niceness(sys::kFirst);  // of a thread that ends with the connection
  connection->set_limits({.timeout = kIdleTimeout, .cancellation = &stopping_});
  MessageChannel messages(std::move(connection));
  std::unique_lock lock(mutex_);
  if (memory_connection_ != nullptr) memory_connection_->shutdown();
  if (!changed_.wait_for(lock, kReplaceTimeout, [&] { return memory_connection_ == nullptr; }))
    return fail(Code::kTimeout, "an earlier connection for memory does not end");
  memory_connection_ = &messages.connection();
  lock.unlock();
  auto served = converse(messages);
  lock.lock();
  memory_connection_ = nullptr;
  changed_.notify_all();
  return served;
}

Result<void> MemoryArrival::list_missing(MessageChannel& messages) {
  auto missing = TRY(keeper_->report());
  uint64_t bytes = 0;
  protocol::Message message;
  for (const auto& [process, ranges] : missing) {
    bytes += engine::total_size(ranges);
    for (const sys::Range& range : ranges) {
      protocol::PageRun& run = *message.mutable_missing_memory()->add_runs();
      run.set_process(static_cast<uint32_t>(process.value));
      run.set_address(range.start);
      run.set_length(range.size());
      if (message.missing_memory().runs_size() < kRunsPerMessage) continue;
      TRY(messages.send(message));
      message.Clear();
    }
  }
  left_ = bytes;
  message.mutable_missing_memory()->set_last(true);
  return messages.send(message);
}

Result<void> MemoryArrival::converse(MessageChannel& messages) {
  bool missing = keeper_->state() == KeeperLink::State::kMissing;
  if (missing) TRY(list_missing(messages));
  while (missing) {
    for (const engine::MissingPage& page : keeper_->take_wanted()) {
      protocol::Message wanted;
      wanted.mutable_wanted_page()->set_process(static_cast<uint32_t>(page.process.value));
      wanted.mutable_wanted_page()->set_address(page.address);
      TRY(messages.send(wanted));
    }
    missing = keeper_->state() == KeeperLink::State::kMissing;
    if (!missing) break;
    TlsConnection& connection = messages.connection();
    std::array<pollfd, 3> ready = {pollfd{keeper_->event(), POLLIN, 0},
                                   pollfd{connection.fd(), POLLIN, 0},
                                   pollfd{stopping_.fd(), POLLIN, 0}};
    if (!connection.has_buffered_input() && ::poll(ready.data(), ready.size(), -1) < 0) continue;
    TRY(stopping_.check());
    if (connection.has_buffered_input() || ready[1].revents != 0) TRY(hear(messages));
  }
  // The source may forget the container once it hears this, so the journal knows it first.
  TRY(wait());
  send_complete(messages);
  return {};
}

Result<void> MemoryArrival::hear(MessageChannel& messages) {
  auto message = TRY(messages.receive());
  if (message.has_memory_lost()) {
    lose(fmt::format("memory that had not come from host {} yet is lost: {}", entry_.peer,
                     message.memory_lost().reason()));
    TRY(wait());
    send_complete(messages);
    return fail(Code::kPeerLost, "the memory is lost");
  }
  if (!message.has_pages()) return fail(Code::kBadImage, "the source sent something else");
  const protocol::PageRun& run = message.pages().run();
  const std::string& content = message.pages().content();
  if (!content.empty() && content.size() != run.length())
    return fail(Code::kBadImage, "pages of another length than they say");
  return put({run.process(), 0, run.address(), run.length()}, std::as_bytes(std::span(content)));
}

Result<void> MemoryArrival::put(const image::PageRun& run, std::span<const std::byte> pages) {
  if (run.flags != 0 || run.length == 0 || run.address % kPageSize != 0 ||
      run.length % kPageSize != 0)
    return fail(Code::kBadImage, "late pages at an impossible place");
  TRY(keeper_->put(run, pages));
  left_ -= std::min<uint64_t>(left_, run.length);
  return {};
}

Result<void> MemoryArrival::serve_push(std::unique_ptr<TlsConnection> connection) {
  sys::set_niceness(sys::kLast);  // of a thread that ends with the connection
  connection->set_limits({.timeout = kIdleTimeout, .cancellation = &stopping_});
  auto source = image::make_source(*connection);
  for (;;) {
    auto record = source->next();
    if (!record && record.error().code() == Code::kPeerLost) return {};  // it comes again
    if (!record) return std::unexpected(std::move(record.error()));
    if (record->type == image::RecordType::kEnd) return {};
    if (record->type != image::RecordType::kPages && record->type != image::RecordType::kZeroPages)
      return fail(Code::kBadImage, "something else than pages is pushed");
    TRY(put(TRY(image::parse_run(*record)), record->body));
  }
}

Result<std::unique_ptr<KeeperLink>> MemoryArrivals::start_keeper(
    const std::string& migration) const {
  return KeeperLink::start(path_of(migration));
}

bool MemoryArrivals::is_kept(const std::string& migration) const {
  return KeeperLink::reconnect(path_of(migration)).has_value();
}

std::shared_ptr<MemoryArrival> MemoryArrivals::begin(JournalEntry entry,
                                                     std::unique_ptr<KeeperLink> keeper) {
  std::string migration = entry.migration;
  auto arrival = std::make_shared<MemoryArrival>(host_, journal_, stopping_, std::move(entry),
                                                 std::move(keeper));
  std::lock_guard lock(mutex_);
  std::erase_if(arrivals_, [](const auto& earlier) { return earlier.second->is_settled(); });
  arrivals_[migration] = arrival;
  return arrival;
}

Result<void> MemoryArrivals::resume(const JournalEntry& entry) {
  auto keeper = KeeperLink::reconnect(path_of(entry.migration));
  if (keeper && !entry.booted) {
    begin(entry, std::move(*keeper));
    return {};
  }
  const char* why = entry.booted ? "this host went down before all of its memory had come"
                                 : "the process that kept its missing pages was ended";
  TRY(host_.end_lost(entry.container, entry.incarnation, why));
  JournalEntry arrived = entry;
  arrived.state = JournalState::kArrived;
  return journal_.write(arrived);
}

std::shared_ptr<MemoryArrival> MemoryArrivals::find(const std::string& migration) const {
  std::lock_guard lock(mutex_);
  auto found = arrivals_.find(migration);
  return found == arrivals_.end() ? nullptr : found->second;
}

}  // namespace martlet::migrate
