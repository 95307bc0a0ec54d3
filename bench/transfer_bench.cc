// The rate at which a record stream goes between two connections of this machine: over raw TCP, and
// over the TLS that a migration uses. Prints one table; the last column is the ratio to raw TCP.
#include <fmt/format.h>
#include <sys/socket.h>

#include <filesystem>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "image/byte_stream.h"
#include "migrate/authority.h"
#include "migrate/tls.h"

namespace martlet::migrate {
namespace {

constexpr uint64_t kTotalBytes = 4ull << 30;
constexpr size_t kRunBytes = 1u << 20;

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

class RawConnection final : public image::ByteWriter, public image::ByteReader {
 public:
  explicit RawConnection(SocketChannel channel) : channel_(std::move(channel)) {}
  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    for (auto piece : pieces) TRY(channel_.write(piece));
    return channel_.push();
  }
  Result<size_t> read(std::span<std::byte> buffer) override { return channel_.read(buffer); }

 private:
  SocketChannel channel_;
};

void send_bytes(image::ByteWriter& writer) {
  std::vector<std::byte> run(kRunBytes, std::byte{0x5a});
  const std::span<const std::byte> pieces[] = {run};
  for (uint64_t sent = 0; sent < kTotalBytes; sent += kRunBytes) must(writer.write(pieces));
}

void receive_bytes(image::ByteReader& reader) {
  std::vector<std::byte> run(kRunBytes);
  for (uint64_t left = kTotalBytes; left > 0;)
    left -= must(reader.read(std::span(run).first(std::min<uint64_t>(left, kRunBytes))));
}

void send_records(image::ByteWriter& writer) {
  std::vector<std::byte> pages(kRunBytes, std::byte{0x5a});
  auto sink = image::make_sink(writer);
  for (uint64_t sent = 0; sent < kTotalBytes; sent += kRunBytes)
    must(put_pages(*sink, {.owner = 1, .flags = 0, .address = sent, .length = kRunBytes}, pages));
  must(sink->put(image::RecordType::kEnd, {}, {}));
  must(sink->flush());
}

void receive_records(image::ByteReader& reader) {
  auto source = image::make_source(reader);
  while (must(source->next()).type != image::RecordType::kEnd) continue;
}

template <typename Send, typename Receive>
double rate(image::ByteWriter& writer, image::ByteReader& reader, Send send, Receive receive) {
  SystemClock clock;
  Stopwatch watch(clock);
  std::jthread sender([&] { send(writer); });
  receive(reader);
  return static_cast<double>(kTotalBytes) / watch.seconds() / 1e9;
}

TlsContext make_context(const std::filesystem::path& directory, const std::string& host) {
  AuthorityFiles authority{.certificate = directory / "ca.pem", .key = directory / "ca.key"};
  if (!std::filesystem::exists(authority.certificate)) must(create_authority(authority));
  TlsConfig config{.authority = authority.certificate,
                   .certificate = directory / (host + ".pem"),
                   .key = directory / (host + ".key")};
  must(issue_certificate(authority, host, config));
  return must(TlsContext::load(config));
}

struct RawPair {
  RawConnection sender;
  RawConnection receiver;
};

RawPair connect_raw(int listener, const Endpoint& endpoint) {
  auto sender = must(SocketChannel::connect(endpoint, {}));
  auto receiver = must(SocketChannel::adopt(must(accept_on(listener, {})), {}));
  return {.sender = RawConnection(std::move(sender)),
          .receiver = RawConnection(std::move(receiver))};
}

struct TlsPair {
  std::unique_ptr<TlsConnection> sender;
  std::unique_ptr<TlsConnection> receiver;
};

TlsPair connect_tls(int listener, const Endpoint& endpoint, const TlsContext& source,
                    const TlsContext& destination) {
  TlsPair pair;
  std::jthread accepting([&] {
    pair.receiver = must(TlsConnection::accept(destination, must(accept_on(listener, {})), {}));
  });
  pair.sender = must(TlsConnection::connect(source, endpoint, "host-b", {}));
  return pair;
}

void print_row(const std::string& what, double gigabytes_per_second, double raw) {
  fmt::print("{:<28}{:>8.2f}{:>12.2f}\n", what, gigabytes_per_second, gigabytes_per_second / raw);
}

void run(const std::filesystem::path& directory) {
  TlsContext source = make_context(directory, "host-a");
  TlsContext destination = make_context(directory, "host-b");
  Fd listener = must(listen_on({.host = "127.0.0.1", .port = "0"}));
  Endpoint endpoint{.host = "127.0.0.1", .port = std::to_string(must(local_port(listener.get())))};
  RawPair raw = connect_raw(listener.get(), endpoint);
  TlsPair tls = connect_tls(listener.get(), endpoint, source, destination);

  fmt::print("{:<28}{:>8}{:>12}\n", "transfer", "GB/s", "of raw TCP");
  double raw_rate = rate(raw.sender, raw.receiver, send_bytes, receive_bytes);
  print_row("raw TCP", raw_rate, raw_rate);
  print_row("raw TCP, records", rate(raw.sender, raw.receiver, send_records, receive_records),
            raw_rate);
  print_row(tls.sender->cipher(), rate(*tls.sender, *tls.receiver, send_bytes, receive_bytes),
            raw_rate);
  print_row("TLS, records", rate(*tls.sender, *tls.receiver, send_records, receive_records),
            raw_rate);
}

}  // namespace
}  // namespace martlet::migrate

int main() {
  auto directory = std::filesystem::temp_directory_path() / fmt::format("martlet-{}", ::getpid());
  std::filesystem::create_directory(directory);
  martlet::migrate::run(directory);
  std::filesystem::remove_all(directory);
}
