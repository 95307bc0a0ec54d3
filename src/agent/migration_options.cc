#include "agent/migration_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace martlet::agent {
namespace {

using migrate::Mode;
using migrate::OnNoConvergence;

constexpr uint32_t kMaxRounds = 1000;
constexpr uint64_t kMinBandwidth = 1000;  // bytes per second

constexpr std::array kModes{Mode::kAuto, Mode::kStop, Mode::kPrecopy, Mode::kPostcopy,
                            Mode::kHybrid};
constexpr std::array<std::string_view, kModes.size()> kModeNames{"auto", "stop", "precopy",
                                                                 "postcopy", "hybrid"};
constexpr std::array kStopRules{migrate::StopRule::kMaxPause, migrate::StopRule::kCriterion1};
constexpr std::array kNoConvergence{OnNoConvergence::kThrottle, OnNoConvergence::kPostcopy,
                                    OnNoConvergence::kStop, OnNoConvergence::kCancel};
constexpr std::array kCompressions{migrate::Compression::kNone, migrate::Compression::kLz4,
                                   migrate::Compression::kZstd};

// A number of the API as the value it stands for.
template <typename T, size_t count>
Result<T> value_of(const std::array<T, count>& values, int number, const char* what) {
  if (number >= 0 && static_cast<size_t>(number) < count)
    return values[static_cast<size_t>(number)];
  return fail(Code::kInvalidArgument, fmt::format("there is no {} {}", what, number));
}

template <typename T, size_t count>
int number_of(const std::array<T, count>& values, T value) {
  return static_cast<int>(std::ranges::find(values, value) - values.begin());
}

Result<void> check_bounds(const migrate::Options& options) {
  TRY(check_max_pause(options.max_pause));
  if (options.max_time < Nanoseconds::zero() || options.push_after < Nanoseconds::zero())
    return fail(Code::kInvalidArgument, "a duration cannot be negative");
  if (options.max_rounds < 1 || options.max_rounds > kMaxRounds)
    return fail(Code::kInvalidArgument, fmt::format("max-rounds must be 1 to {}", kMaxRounds));
  if (options.streams < 1 || options.streams > migrate::kMaxStreams)
    return fail(Code::kInvalidArgument,
                fmt::format("streams must be 1 to {}", migrate::kMaxStreams));
  return check_bandwidth(options.bandwidth);
}

bool has_rounds(Mode mode) {
  return mode == Mode::kAuto || mode == Mode::kPrecopy || mode == Mode::kHybrid;
}

// An option without effect is a misunderstanding, which the caller should learn before the move.
Result<void> check_mode(const MigrationOptions& given, const migrate::Options& options) {
  const char* of_rounds = given.has_stop_rule()           ? "stop"
                          : given.has_max_rounds()        ? "max-rounds"
                          : given.has_on_no_convergence() ? "on-no-convergence"
                                                          : nullptr;
  if (of_rounds && !has_rounds(options.mode))
    return fail(Code::kInvalidArgument, fmt::format("mode {} has no rounds, so {} means nothing",
                                                    kModeNames[given.mode()], of_rounds));
  bool may_push = options.mode == Mode::kAuto || migrate::may_leave_memory(options);
  if (given.has_push_after_ns() && !may_push)
    return fail(Code::kInvalidArgument,
                fmt::format("mode {} leaves no memory behind, so push-after means nothing",
                            kModeNames[given.mode()]));
  if (options.max_time > Nanoseconds::zero() && options.max_time < options.max_pause)
    return fail(Code::kInvalidArgument, "max-time cannot be shorter than max-pause");
  return {};
}

Result<migrate::Options> parse(const MigrationOptions& given) {
  migrate::Options options;
  options.mode = TRY(value_of(kModes, given.mode(), "mode"));
  if (given.has_stop_rule())
    options.stop_rule = TRY(value_of(kStopRules, given.stop_rule(), "stop rule"));
  if (given.has_on_no_convergence())
    options.on_no_convergence =
        TRY(value_of(kNoConvergence, given.on_no_convergence(), "answer to no convergence"));
  if (given.has_compression()) options.compression = TRY(to_codec(given.compression()));
  if (given.has_max_pause_ns()) options.max_pause = Nanoseconds(given.max_pause_ns());
  options.limits_bind = given.has_max_pause_ns() || given.has_max_time_ns();
  if (given.has_max_rounds()) options.max_rounds = given.max_rounds();
  if (given.has_max_time_ns()) options.max_time = Nanoseconds(given.max_time_ns());
  if (given.has_bandwidth()) options.bandwidth = given.bandwidth();
  if (given.has_streams()) options.streams = given.streams();
  if (given.has_push_after_ns()) options.push_after = Nanoseconds(given.push_after_ns());
  return options;
}

}  // namespace

Result<migrate::Options> to_options(const MigrationOptions& given) {
  migrate::Options options = TRY(parse(given));
  TRY(check_bounds(options));
  TRY(check_mode(given, options));
  return options;
}

Result<image::Codec> to_codec(Compression compression) {
  return value_of(kCompressions, compression, "compression");
}

MigrationOptions to_message(const migrate::Options& options) {
  MigrationOptions message;
  message.set_mode(static_cast<MigrationMode>(number_of(kModes, options.mode)));
  message.set_stop_rule(static_cast<MigrationStopRule>(number_of(kStopRules, options.stop_rule)));
  message.set_on_no_convergence(
      static_cast<NoConvergence>(number_of(kNoConvergence, options.on_no_convergence)));
  message.set_max_pause_ns(options.max_pause.count());
  message.set_max_rounds(options.max_rounds);
  message.set_max_time_ns(options.max_time.count());
  message.set_bandwidth(options.bandwidth);
  message.set_streams(options.streams);
  message.set_compression(static_cast<Compression>(number_of(kCompressions, options.compression)));
  message.set_push_after_ns(options.push_after.count());
  return message;
}

Result<void> check_bandwidth(uint64_t bytes_per_second) {
  if (bytes_per_second == 0 || bytes_per_second >= kMinBandwidth) return {};
  return fail(Code::kInvalidArgument, "bandwidth must be 0 (no limit) or at least 1kB/s");
}

Result<void> check_max_pause(Nanoseconds max_pause) {
  if (max_pause > Nanoseconds::zero()) return {};
  return fail(Code::kInvalidArgument, "max-pause must be longer than 0");
}

}  // namespace martlet::agent
