// martlet-stand-load: the service that the stand moves. It stands alone in its container, so it is
// linked statically and takes its numbers as they come:
//
//   martlet-stand-load PORT MEMORY WRITES FILES FILE_SIZE
//
// MEMORY bytes that cannot be compressed, of which WRITES bytes per second are changed, one page
// after another; FILES files of FILE_SIZE bytes in /data. It answers on PORT once all that is
// there: each request is the number of a page, and its answer what that page says its number is.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPage = 4096;
constexpr size_t kWords = kPage / sizeof(uint64_t);

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// xorshift64: quick, and nothing compresses it.
uint64_t next_random(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

// Pages whose first word is their own number, and whose second is changed.
class Memory {
 public:
  explicit Memory(size_t bytes) : pages_((bytes + kPage - 1) / kPage) {
    void* const mapped =
        mmap(nullptr, pages_ * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) die("mmap");
    (void)madvise(mapped, pages_ * kPage, MADV_NOHUGEPAGE);  // a write changes one page
    words_ = static_cast<uint64_t*>(mapped);
    uint64_t state = 88172645463325252ULL;
    for (size_t i = 0; i < pages_ * kWords; ++i)
      words_[i] = i % kWords == 0 ? i / kWords : next_random(state);
  }
  size_t pages() const { return pages_; }
  uint64_t number_of(uint64_t page) const { return words_[page % pages_ * kWords]; }
  void change(uint64_t page, uint64_t value) { words_[page % pages_ * kWords + 1] = value; }

 private:
  size_t pages_;
  uint64_t* words_ = nullptr;
};

// What it could not write while it stood still is not made up for.
[[noreturn]] void keep_writing(Memory& memory, double pages_per_second) {
  const auto interval = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(1 / pages_per_second));
  constexpr auto kNap = std::chrono::milliseconds(1);
  constexpr auto kLate = std::chrono::milliseconds(20);
  auto due = Clock::now();
  for (uint64_t written = 0;; ++written) {
    memory.change(written, written);
    due += interval;
    const auto now = Clock::now();
    if (due > now + kNap) std::this_thread::sleep_until(due);
    due = std::max(due, now - kLate);
  }
}

void make_files(size_t count, size_t size) {
  if (count == 0) return;
  if (mkdir("/data", 0755) != 0) die("/data");
  uint64_t state = 1442695040888963407ULL;
  std::vector<uint64_t> content((size + sizeof(uint64_t) - 1) / sizeof(uint64_t));
  for (size_t i = 0; i < count; ++i) {
    for (uint64_t& word : content) word = next_random(state);
    std::ofstream file("/data/" + std::to_string(i), std::ios::binary);
    file.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(size));
    if (!file.flush()) die("/data");
  }
}

int listen_on(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 16) != 0)
    die("listen");
  return listener;
}

// Answers one request; false at the end of the connection.
bool answer(int connection, const Memory& memory) {
  uint64_t page = 0;
  if (recv(connection, &page, sizeof page, MSG_WAITALL) != sizeof page) return false;
  const uint64_t number = memory.number_of(page);
  return send(connection, &number, sizeof number, MSG_NOSIGNAL) == sizeof number;
}

[[noreturn]] void serve(int listener, const Memory& memory) {
  std::vector<pollfd> waiting{{listener, POLLIN, 0}};
  for (;;) {
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    for (size_t i = waiting.size(); i-- > 1;) {
      if (waiting[i].revents == 0 || answer(waiting[i].fd, memory)) continue;
      close(waiting[i].fd);
      waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (waiting[0].revents == 0) continue;
    const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    const int on = 1;
    (void)setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connection >= 0) waiting.push_back({connection, POLLIN, 0});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: martlet-stand-load PORT MEMORY WRITES FILES FILE_SIZE\n", stderr);
    return 2;
  }
  const auto number = [&](int i) { return std::strtod(argv[i], nullptr); };
  Memory memory(static_cast<size_t>(number(2)));
  make_files(static_cast<size_t>(number(4)), static_cast<size_t>(number(5)));
  const int listener = listen_on(static_cast<uint16_t>(number(1)));
  const double pages_per_second = number(3) / kPage;
  if (pages_per_second > 0)
    std::thread([&memory, pages_per_second] { keep_writing(memory, pages_per_second); }).detach();
  serve(listener, memory);
}
