// A record sink that counts, times and can be cancelled: what stands between the engine's capture
// and the connection.
#pragma once

#include <functional>

#include "base/clock.h"
#include "image/stream.h"
#include "migrate/cancellation.h"

namespace martlet::migrate {

class MeteredSink final : public image::Sink {
 public:
  // `on_bytes` is told the bytes put so far, about ten times a second.
  MeteredSink(image::Sink& next, const Clock& clock, const Cancellation& cancellation,
              std::function<void(uint64_t)> on_bytes);
  void on_bytes(std::function<void(uint64_t)> on_bytes) { on_bytes_ = std::move(on_bytes); }

  Result<void> put(image::RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override;
  Result<void> flush() override;

  uint64_t bytes() const { return bytes_; }
  // Spent in the next sink, and so not in the capture.
  double seconds_below() const { return std::chrono::duration<double>(below_).count(); }

 private:
  Result<void> timed(const std::function<Result<void>()>& work);

  image::Sink& next_;
  const Clock& clock_;
  const Cancellation& cancellation_;
  std::function<void(uint64_t)> on_bytes_;
  uint64_t bytes_ = 0;
  Nanoseconds below_{};
  Nanoseconds last_report_{};
};

}  // namespace martlet::migrate
