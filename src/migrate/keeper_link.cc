#include "migrate/keeper_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/log.h"
#include "migrate/page_keeper.h"
#include "sys/thread_priority.h"

namespace martlet::migrate {
namespace {

constexpr std::chrono::seconds kReportTimeout{10};
constexpr int kBacklog = 4;

// The directory is opened first, because a socket's path may not be long.
struct SocketPlace {
  Fd directory;
  sockaddr_un address{};

  static Result<SocketPlace> of(const std::string& path) {
    std::filesystem::path whole(path);
    SocketPlace place{TRY(open_file(whole.parent_path(), O_DIRECTORY | O_PATH)), {}};
    std::string name =
        "/proc/self/fd/" + std::to_string(place.directory.get()) + "/" + whole.filename().string();
    place.address.sun_family = AF_UNIX;
    if (name.size() >= sizeof place.address.sun_path)
      return fail(Code::kInvalidArgument, "the name " + name + " is too long for a socket");
    std::memcpy(place.address.sun_path, name.c_str(), name.size());
    return place;
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

Result<Fd> make_socket() {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("create socket of the page keeper");
  return socket;
}

Result<Fd> listen_at(const std::string& path) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  auto place = TRY(SocketPlace::of(path));
  Fd socket = TRY(make_socket());
  if (::bind(socket.get(), place.get(), sizeof place.address) != 0 ||
      ::listen(socket.get(), kBacklog) != 0)
    return fail_errno("listen at " + path);
  return socket;
}

Result<Fd> connect_to(const std::string& path) {
  auto place = TRY(SocketPlace::of(path));
  Fd socket = TRY(make_socket());
  if (::connect(socket.get(), place.get(), sizeof place.address) != 0)
    return fail_errno("connect to " + path);
  return socket;
}

bool is_marked_complete(const std::string& path) {
  return ::access(completion_mark(path).c_str(), F_OK) == 0;
}

}  // namespace

Result<std::unique_ptr<KeeperLink>> KeeperLink::start(const std::string& path) {
  Fd listener = TRY(listen_at(path));
  sys::Program program{
      .args = {"/proc/self/exe", kKeeperArgument, path},
      .descriptors = {{STDERR_FILENO, STDERR_FILENO}, {listener.get(), kKeeperSocket}}};
  auto running = TRY_IN(sys::start_program(program), "page keeper");
  Fd socket = TRY(connect_to(path));
  return std::unique_ptr<KeeperLink>(new KeeperLink(path, std::move(socket), std::move(running)));
}

Result<std::unique_ptr<KeeperLink>> KeeperLink::reconnect(const std::string& path) {
  auto socket = connect_to(path);
  if (!socket && !is_marked_complete(path))
    return fail(Code::kGone, "the process that kept its missing pages has ended");
  return std::unique_ptr<KeeperLink>(
      new KeeperLink(path, socket ? std::move(*socket) : Fd(), std::nullopt));
}

KeeperLink::KeeperLink(std::string path, Fd socket, std::optional<sys::RunningProgram> program)
    : path_(std::move(path)),
      socket_(std::move(socket)),
      event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      program_(std::move(program)),
      listener_([this] { listen(); }) {}

KeeperLink::~KeeperLink() {
  ::shutdown(socket_.get(), SHUT_RDWR);
  listener_.join();
  if (program_ && state_ == State::kMissing) program_->let_go();
}

void KeeperLink::discard() {
  if (program_) program_.reset();  // kills it
  ::shutdown(socket_.get(), SHUT_RDWR);
  clean_up();
}

void KeeperLink::clean_up() const {
  ::unlink(path_.c_str());
  ::unlink(completion_mark(path_).c_str());
}

Result<void> KeeperLink::add(const std::vector<checkpoint::LateMemory>& late) {
  for (const checkpoint::LateMemory& process : late) {
    {
      std::lock_guard lock(mutex_);
      // The keeper's own numbers begin at 1, and its descriptors are told again.
      duplicates_.emplace(~static_cast<uint64_t>(process.process.value),
                          TRY(process.userfaultfd.fd().duplicate()));
    }
    std::lock_guard lock(sending_);
    auto bytes = std::as_bytes(std::span(process.missing));
    TRY(send_frame(socket_,
                   {FrameKind::kAdd, static_cast<uint32_t>(process.process.value), 0, bytes.size()},
                   bytes, process.userfaultfd.fd().get()));
  }
  std::lock_guard lock(sending_);
  return send_frame(socket_, {FrameKind::kAllAdded});
}

Result<void> KeeperLink::put(const image::PageRun& run, std::span<const std::byte> pages) {
  std::lock_guard lock(sending_);
  auto kind = pages.empty() ? FrameKind::kZeroPages : FrameKind::kPages;
  auto put = send_frame(socket_, {kind, run.owner, run.address, run.length}, pages);
  // A keeper that has got the last page ends; what comes behind is wanted by nobody.
  if (!put && put.error().code() == Code::kPeerLost) return {};
  return put;
}

Result<MissingList> KeeperLink::report() {
  std::unique_lock lock(mutex_);
  uint64_t before = reports_;
  reported_.clear();
  lock.unlock();
  {
    std::lock_guard sending(sending_);
    (void)send_frame(socket_, {FrameKind::kReport});  // its end shows as the state
  }
  lock.lock();
  auto done = [&] { return reports_ > before || state_ != State::kMissing; };
  if (!changed_.wait_for(lock, kReportTimeout, done))
    return fail(Code::kTimeout, "the page keeper does not answer");
  if (state_ == State::kLost)
    return fail(Code::kGone, "the process that kept its missing pages has ended");
  return state_ == State::kComplete ? MissingList{} : reported_;
}

void KeeperLink::listen() {
  sys::set_niceness(sys::kFirst);
  while (hear()) continue;
  std::lock_guard lock(mutex_);
  state_ = is_marked_complete(path_) ? State::kComplete : State::kLost;
  // Lost, the duplicates are what keeps missing pages from reading as zeros.
  if (state_ == State::kComplete) duplicates_.clear();
  changed_.notify_all();
  signal();
}

Result<void> KeeperLink::hear() {
  Fd descriptor;
  Frame frame = TRY(receive_frame(socket_, descriptor));
  if (frame.kind == FrameKind::kMissing) return hear_missing(frame);
  std::lock_guard lock(mutex_);
  switch (frame.kind) {
    case FrameKind::kDescriptor:
      duplicates_.insert_or_assign(frame.address, std::move(descriptor));
      break;
    case FrameKind::kDropDescriptor: duplicates_.erase(frame.address); break;
    case FrameKind::kWanted:
      wanted_.push_back({NsPid(static_cast<pid_t>(frame.process)), frame.address});
      signal();
      break;
    case FrameKind::kEndOfReport:
      ++reports_;
      changed_.notify_all();
      break;
    default: return fail(Code::kBadImage, "an unknown frame");
  }
  return {};
}

Result<void> KeeperLink::hear_missing(const Frame& frame) {
  engine::Ranges ranges(frame.length / sizeof(sys::Range));
  TRY(receive_bytes(socket_, std::as_writable_bytes(std::span(ranges))));
  std::lock_guard lock(mutex_);
  reported_.emplace_back(NsPid(static_cast<pid_t>(frame.process)), std::move(ranges));
  return {};
}

std::vector<engine::MissingPage> KeeperLink::take_wanted() {
  std::lock_guard lock(mutex_);
  uint64_t count = 0;
  if (state_ == State::kMissing) (void)!::read(event_.get(), &count, sizeof count);
  return std::exchange(wanted_, {});
}

KeeperLink::State KeeperLink::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

KeeperLink::State KeeperLink::await_end(Nanoseconds timeout) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return state_ != State::kMissing; });
  return state_;
}

void KeeperLink::signal() const {
  uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof one);
}

}  // namespace martlet::migrate
