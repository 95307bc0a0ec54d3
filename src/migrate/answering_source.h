// A record stream that tells when its reader has made all that was sent ahead up to the end of a
// round: when it asks for what follows that.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "image/stream.h"

namespace martlet::migrate {

class AnsweringSource final : public image::Source {
 public:
  AnsweringSource(std::unique_ptr<image::Source> source, std::function<Result<void>()> tell)
      : source_(std::move(source)), tell_(std::move(tell)) {}

  Result<image::Record> next() override {
    if (std::exchange(round_ended_, false)) TRY(tell_());
    image::Record record = TRY(source_->next());
    round_ended_ = record.type == image::RecordType::kRoundEnd;
    return record;
  }

 private:
  std::unique_ptr<image::Source> source_;
  std::function<Result<void>()> tell_;
  bool round_ended_ = false;
};

}  // namespace martlet::migrate
