// martlet-demo-client: many clients of a Redis server that verify every reply.
//
// Prints "ready" when the load runs. Stops after --seconds, on SIGTERM, SIGINT, or when its
// standard input ends with --until-eof; then reads everything back and prints the report. Exit
// status 0 only if there was no failure of any kind.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "demo/connection.h"
#include "demo/dataset.h"
#include "demo/open_loop.h"

namespace martlet::demo {
namespace {

constexpr Nanoseconds kDrainLimit = std::chrono::seconds(10);
constexpr uint64_t kValuesPerMib = 256;

struct Options {
  std::string host = "127.0.0.1";
  uint16_t port = 6379;
  int connections = 50;
  double rate = 5000;
  double seconds = 3600;
  size_t value_size = 256;
  uint64_t dataset_mib = 0;
  bool until_eof = false;
  bool json = false;
};

// Becomes readable when the run shall stop.
Result<Fd> stop_descriptor(bool until_eof) {
  if (until_eof) return open_file("/proc/self/fd/0", O_RDONLY);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return fail_errno("block signals");
  int fd = ::signalfd(-1, &signals, SFD_CLOEXEC);
  if (fd < 0) return fail_errno("signalfd");
  return Fd(fd);
}

Result<bool> run(const Options& options) {
  SystemClock clock;
  Fd stop = TRY(stop_descriptor(options.until_eof));
  Dataset dataset(TRY(connect_to(options.host, options.port)), options.dataset_mib * kValuesPerMib);
  TRY_IN(dataset.load(), "loading the data set");
  unsigned run_id = std::random_device()();
  std::vector<Connection> connections;
  connections.reserve(static_cast<size_t>(options.connections));
  for (int i = 0; i < options.connections; ++i) {
    connections.emplace_back(TRY(connect_to(options.host, options.port)),
                             fmt::format("client:{:08x}:{}", run_id, i), options.value_size);
  }
  std::puts("ready");
  std::fflush(stdout);

  Report report(clock.now());
  OpenLoop load(std::move(connections), options.rate, clock);
  auto limit =
      std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(options.seconds));
  TRY(load.run(stop, limit, report));
  TRY(load.drain(kDrainLimit, report));
  auto verified = dataset.verify(report.failures());
  if (!verified) report.failures().note(&Failures::resets, verified.error().to_string());
  std::fputs((options.json ? report.to_json() + "\n" : report.to_text()).c_str(), stdout);
  return report.failures().total() == 0;
}

}  // namespace
}  // namespace martlet::demo

int main(int argc, char** argv) {
  martlet::demo::Options options;
  CLI::App app("Clients of a Redis server that verify every reply");
  app.add_option("--host", options.host, "IPv4 address of the server")->capture_default_str();
  app.add_option("--port", options.port)->capture_default_str();
  app.add_option("--connections", options.connections)
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--rate", options.rate, "requests per second, all connections together")
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "longest run")->capture_default_str();
  app.add_option("--value-size", options.value_size, "bytes of each value written under load")
      ->check(CLI::Range(16, 1 << 20))
      ->capture_default_str();
  app.add_option("--dataset", options.dataset_mib,
                 "MiB of other data to write first and verify last");
  app.add_flag("--until-eof", options.until_eof, "stop when standard input ends");
  app.add_flag("--json", options.json, "print the report as JSON");
  CLI11_PARSE(app, argc, argv);

  auto result = martlet::demo::run(options);
  if (!result) {
    std::fprintf(stderr, "martlet-demo-client: %s\n", result.error().to_string().c_str());
    return 2;
  }
  return *result ? 0 : 1;
}
