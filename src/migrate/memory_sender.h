// The state of a container on its way to the destination: rounds of memory while it runs, then the
// capture of the rest. Used on the thread that freezes the container.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/memory_rounds.h"
#include "image/compression.h"
#include "migrate/drainable_writer.h"
#include "migrate/environment.h"
#include "migrate/host.h"
#include "migrate/metered_sink.h"
#include "migrate/options.h"
#include "migrate/round_policy.h"
#include "migrate/stage_log.h"

namespace martlet::migrate {

// Everything it is given outlives it.
struct SendingContext {
  const Environment& environment;
  const Options& options;
  const Tuning& tuning;
  const Cancellation& cancellation;
  StageLog& log;
};

class MemorySender {
 public:
  MemorySender(SendingContext context, SourceContainer& container, DrainableWriter& connection);
  ~MemorySender();
  MemorySender(const MemorySender&) = delete;
  MemorySender& operator=(const MemorySender&) = delete;

  // In place of rounds: asks the destination to make pages for what the capture will send. False
  // if it does not, because the container's memory cannot be looked at.
  Result<bool> prepare();
  // Rounds until the policy says otherwise; kFreeze or kPostcopy. kCancelled if it says to give up.
  Result<NextStep> send_rounds();
  // One more round if what has changed since the last one would make the pause too long.
  Result<void> send_what_grew();
  // The state of the frozen container, without what the rounds have sent. Nothing is sent before
  // `may_send` has returned, which is called once. Returns the bytes of memory that scope kUrgent
  // has left to come later.
  Result<uint64_t> capture(FrozenContainer& frozen, checkpoint::MemoryScope scope,
                           std::function<Result<void>()> may_send);
  // The container gets all of its processor time again.
  void end_throttle();

 private:
  Result<void> add_round();
  Result<RoundReport> send_round();
  Result<void> throttle();
  RoundContext round_context() const;

  SendingContext context_;
  SourceContainer& container_;
  DrainableWriter& connection_;
  std::unique_ptr<image::Sink> records_;
  MeteredSink sink_;
  image::CompressingSink compressing_;
  std::unique_ptr<checkpoint::MemoryRounds> ahead_;
  std::vector<RoundReport> rounds_;
  Nanoseconds started_;
  int throttle_percent_ = 100;
};

}  // namespace martlet::migrate
