// A record stream that tells when its reader has made all that the first round describes
// (checkpoint::MemoryRounds::prepare): when it asks for what follows the second one.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "image/stream.h"

namespace martlet::migrate {

class PreparedSource final : public image::Source {
 public:
  PreparedSource(std::unique_ptr<image::Source> source, std::function<Result<void>()> tell)
      : source_(std::move(source)), tell_(std::move(tell)) {}

  Result<image::Record> next() override {
    if (rounds_ == kRounds && tell_) TRY(std::exchange(tell_, nullptr)());
    image::Record record = TRY(source_->next());
    if (record.type == image::RecordType::kRound) ++rounds_;
    return record;
  }

 private:
  static constexpr int kRounds = 2;
  std::unique_ptr<image::Source> source_;
  std::function<Result<void>()> tell_;
  int rounds_ = 0;
};

}  // namespace martlet::migrate
