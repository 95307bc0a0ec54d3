#include "migrate/metered_sink.h"

#include "image/stream_format.h"

namespace martlet::migrate {

namespace {
constexpr Nanoseconds kReportInterval = std::chrono::milliseconds(100);
}

MeteredSink::MeteredSink(image::Sink& next, const Clock& clock, const Cancellation& cancellation,
                         std::function<void(uint64_t)> on_bytes)
    : next_(next),
      clock_(clock),
      cancellation_(cancellation),
      on_bytes_(std::move(on_bytes)),
      last_report_(clock.now()) {}

Result<void> MeteredSink::timed(const std::function<Result<void>()>& work) {
  Nanoseconds start = clock_.now();
  auto result = work();
  Nanoseconds end = clock_.now();
  below_ += end - start;
  if (on_bytes_ && end - last_report_ >= kReportInterval) {
    last_report_ = end;
    on_bytes_(bytes_);
  }
  return result;
}

Result<void> MeteredSink::put(image::RecordType type, std::span<const std::byte> head,
                              std::span<const std::byte> body) {
  TRY(cancellation_.check());
  bytes_ += sizeof(image::RecordHeader) + head.size() + body.size();
  return timed([&] { return next_.put(type, head, body); });
}

Result<void> MeteredSink::flush() {
  return timed([&] { return next_.flush(); });
}

}  // namespace martlet::migrate
