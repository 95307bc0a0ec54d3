// The rate at which memory goes from one host to another: over raw TCP and over the TLS that a
// migration uses, with one connection and with several at once, as bytes and as records.
//
//   transfer_bench [SOURCE_NETNS DESTINATION_NETNS ADDRESS]
//
// The hosts are network namespaces (paths), ADDRESS belongs to the destination; without arguments
// both are this machine's loopback. Prints one line for each transfer: a name, a tab, bytes per
// second of wall-clock time, a tab, and bytes per second of processor time of the process (both
// hosts together).
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "image/byte_stream.h"
#include "image/compression.h"
#include "migrate/authority.h"
#include "migrate/tls.h"

namespace martlet::migrate {
namespace {

constexpr uint64_t kTotalBytes = 2ull << 30;  // of all streams together
constexpr size_t kRunBytes = 1u << 20;
constexpr size_t kMemoryBytes = 64u << 20;  // of each sender: more than a cache holds

template <typename T>
T must(Result<T> result) {
  if (result) {
    if constexpr (!std::is_void_v<T>)
      return std::move(*result);
    else
      return;
  }
  fmt::print(stderr, "transfer_bench: {}\n", result.error().to_string());
  std::exit(1);
}

struct Hosts {
  std::string source;  // network namespaces; empty: that of the process
  std::string destination;
  std::string address = "127.0.0.1";
};

// Sockets belong for ever to the namespace that they were made in.
template <typename Work>
void in_namespace(const std::string& path, Work work) {
  std::jthread([&] {
    if (!path.empty()) {
      Fd netns = must(open_file(path, O_RDONLY));
      if (::setns(netns.get(), CLONE_NEWNET) != 0) must<void>(fail_errno("setns " + path));
    }
    work();
  }).join();
}

class RawConnection final : public image::ByteWriter, public image::ByteReader {
 public:
  explicit RawConnection(SocketChannel channel) : channel_(std::move(channel)) {}
  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    for (auto piece : pieces) TRY(channel_.write(piece));
    return {};
  }
  Result<size_t> read(std::span<std::byte> buffer) override { return channel_.read(buffer); }

 private:
  SocketChannel channel_;
};

struct Stream {
  std::unique_ptr<image::ByteWriter> writer;
  std::unique_ptr<image::ByteReader> reader;
};

class Connector {
 public:
  Connector(const Hosts& hosts, const std::filesystem::path& directory)
      : hosts_(hosts),
        source_(make_context(directory, "host-a")),
        destination_(make_context(directory, "host-b")) {
    in_namespace(hosts.destination,
                 [&] { listener_ = must(listen_on({.host = hosts.address, .port = "0"})); });
  }

  Stream raw() {
    Stream stream;
    in_namespace(hosts_.source, [&] {
      stream.writer = std::make_unique<RawConnection>(must(SocketChannel::connect(endpoint(), {})));
    });
    stream.reader = std::make_unique<RawConnection>(
        must(SocketChannel::adopt(must(accept_on(listener_.get(), {})), {})));
    return stream;
  }

  Stream tls() {
    Stream stream;
    std::jthread accepting([&] {
      stream.reader =
          must(TlsConnection::accept(destination_, must(accept_on(listener_.get(), {})), {}));
    });
    in_namespace(hosts_.source, [&] {
      stream.writer = must(TlsConnection::connect(source_, endpoint(), "host-b", {}));
    });
    return stream;
  }

 private:
  static TlsContext make_context(const std::filesystem::path& directory, const std::string& host) {
    AuthorityFiles authority{.certificate = directory / "ca.pem", .key = directory / "ca.key"};
    if (!std::filesystem::exists(authority.certificate)) must(create_authority(authority));
    TlsConfig config{.authority = authority.certificate,
                     .certificate = directory / (host + ".pem"),
                     .key = directory / (host + ".key")};
    must(issue_certificate(authority, host, config));
    return must(TlsContext::load(config));
  }

  Endpoint endpoint() const {
    return {.host = hosts_.address, .port = std::to_string(must(local_port(listener_.get())))};
  }

  const Hosts& hosts_;
  TlsContext source_;
  TlsContext destination_;
  Fd listener_;
};

void send_bytes(image::ByteWriter& writer, std::span<const std::byte> memory, uint64_t total) {
  for (uint64_t sent = 0; sent < total; sent += kRunBytes) {
    const std::span<const std::byte> pieces[] = {memory.subspan(sent % kMemoryBytes, kRunBytes)};
    must(writer.write(pieces));
  }
}

void receive_bytes(image::ByteReader& reader, uint64_t total) {
  std::vector<std::byte> run(kRunBytes);
  for (uint64_t left = total; left > 0;)
    left -= must(reader.read(std::span(run).first(std::min<uint64_t>(left, kRunBytes))));
}

void send_records(image::ByteWriter& writer, std::span<const std::byte> memory, uint64_t total,
                  image::Codec codec) {
  auto records = image::make_sink(writer);
  image::CompressingSink sink(*records, codec);
  for (uint64_t sent = 0; sent < total; sent += kRunBytes)
    must(put_pages(sink, {.owner = 1, .flags = 0, .address = sent, .length = kRunBytes},
                   memory.subspan(sent % kMemoryBytes, kRunBytes)));
  must(sink.put(image::RecordType::kEnd, {}, {}));
  must(sink.flush());
}

void receive_records(image::ByteReader& reader) {
  auto source = image::make_source(reader);
  while (must(source->next()).type != image::RecordType::kEnd) continue;
}

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Half of it compresses well, half not at all: between a text and a media server.
std::vector<std::byte> make_memory() {
  std::vector<std::byte> memory(kMemoryBytes);
  uint64_t random = 88172645463325252ull;
  for (size_t i = 0; i < memory.size(); i += 8) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    const uint64_t value = i / 65536 % 2 == 0 ? random : random & 0x0f0f;
    std::memcpy(&memory[i], &value, sizeof value);
  }
  return memory;
}

template <typename Send, typename Receive>
void measure(const std::string& name, std::vector<Stream> streams, Send send, Receive receive) {
  static const std::vector<std::byte> memory = make_memory();
  const uint64_t share = kTotalBytes / streams.size();
  const double busy = processor_seconds();
  SystemClock clock;
  Stopwatch watch(clock);
  {
    std::vector<std::jthread> threads;
    for (Stream& stream : streams) {
      threads.emplace_back([&] { send(*stream.writer, memory, share); });
      threads.emplace_back([&] { receive(*stream.reader, share); });
    }
  }
  const auto bytes = static_cast<double>(kTotalBytes);
  fmt::print("{}\t{:.0f}\t{:.0f}\n", name, bytes / watch.seconds(),
             bytes / (processor_seconds() - busy));
  std::fflush(stdout);
}

void run(const Hosts& hosts, const std::filesystem::path& directory) {
  Connector connector(hosts, directory);
  const auto make = [&](size_t count, Stream (Connector::*one)()) {
    std::vector<Stream> streams;
    while (streams.size() < count) streams.push_back((connector.*one)());
    return streams;
  };
  for (size_t count : {1, 2, 4}) {
    measure(fmt::format("raw TCP, {}", count), make(count, &Connector::raw), send_bytes,
            receive_bytes);
    measure(fmt::format("TLS, {}", count), make(count, &Connector::tls), send_bytes, receive_bytes);
  }
  for (auto [name, codec] :
       {std::pair("records", image::Codec::kNone), std::pair("lz4", image::Codec::kLz4),
        std::pair("zstd", image::Codec::kZstd)})
    measure(
        fmt::format("TLS, 1, {}", name), make(1, &Connector::tls),
        [codec](auto& writer, auto memory, uint64_t total) {
          send_records(writer, memory, total, codec);
        },
        [](auto& reader, uint64_t) { receive_records(reader); });
}

}  // namespace
}  // namespace martlet::migrate

int main(int argc, char** argv) {
  martlet::migrate::Hosts hosts;
  if (argc == 4) hosts = {.source = argv[1], .destination = argv[2], .address = argv[3]};
  auto directory = std::filesystem::temp_directory_path() / fmt::format("martlet-{}", ::getpid());
  std::filesystem::create_directory(directory);
  martlet::migrate::run(hosts, directory);
  std::filesystem::remove_all(directory);
}
