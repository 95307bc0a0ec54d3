// Gathers the time and the bytes of each stage of one migration, and tells the observer.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "migrate/rate_meter.h"
#include "migrate/stages.h"

namespace martlet::migrate {

class StageLog {
 public:
  StageLog(const Clock& clock, Observer& observer, std::string container, std::string source,
           std::string destination);

  void begin(const std::string& migration) { observer_.on_begin(migration); }
  const std::string& container() const { return report_.container; }

  // Runs the stage, charges it with the time, and adds its name to an error. A stage that is run
  // inside of it is charged with its own time.
  Result<void> measure(Stage stage, const std::function<Result<void>()>& work);
  void add_bytes(Stage stage, uint64_t bytes);
  void note(Stage stage, std::string note) { at(stage).note = std::move(note); }
  // Charges `to` with time that `from` is, or will be, charged with.
  void move_seconds(Stage from, Stage to, double seconds);
  // `bytes` were sent in this stage so far.
  void progress(Stage stage, uint64_t bytes, const Outlook& outlook = {});
  void add_round(const RoundReport& round);
  // What the rounds so far tell about the rest.
  Outlook outlook() const;
  void set_pause(Nanoseconds pause);
  void set_late_memory(uint64_t bytes, uint64_t wanted_pages);

  MigrationReport finish();

 private:
  StageReport& at(Stage stage) { return stages_[static_cast<size_t>(stage)]; }

  const Clock& clock_;
  Observer& observer_;
  Nanoseconds started_;
  double seconds_inside_ = 0;  // of stages that the current one has run
  RateMeter rate_;
  std::array<StageReport, kStageCount> stages_;
  MigrationReport report_;
};

}  // namespace martlet::migrate
