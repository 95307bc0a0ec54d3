// The stages of a migration, in the order that reports list them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "models/migration.h"

namespace martlet::migrate {

// Stages 3, 4 and 5 overlap: files are copied once more while the capture looks at the container,
// and the capture then streams straight into the connection. Each is charged with the time it kept
// the others waiting. Nothing streams before the second copy is through, because the destination
// opens the files while the state arrives.
enum class Stage : uint32_t {
  kPreflight = 0,
  kFirstCopy = 1,
  kFreeze = 2,
  kCapture = 3,
  kSecondCopy = 4,
  kTransfer = 5,
  kRestore = 6,
  kResume = 7,
  kStopSource = 8,
  kRemoveSource = 9,
  kRounds = 10,      // between 1 and 2: memory that is sent while the container runs
  kLateMemory = 11,  // between 7 and 8: memory that follows while it runs on the destination
};
inline constexpr size_t kStageCount = 12;

std::string_view stage_name(Stage stage);

struct StageReport {
  Stage stage;
  double seconds = 0;
  uint64_t bytes = 0;  // sent to the destination in this stage
  std::string note{};  // what is worth knowing about how it was done; may be empty
};

// One round of memory that was sent while the container ran. Rates are bytes per second.
struct RoundReport {
  uint32_t number = 0;  // from 1
  double seconds = 0;
  double stopped_seconds = 0;  // for which the container stood still at its beginning
  uint64_t changed_bytes = 0;  // since the round before
  uint64_t sent_bytes = 0;     // of these, pages of zeros left out
  uint64_t left_bytes = 0;     // changed again when it ended
  double link_rate = 0;
  double dirty_rate = 0;
  double compare_seconds = 0;         // that finding changes of shared memory takes in the pause
  double expected_pause_seconds = 0;  // if the container had been frozen then
};

struct MigrationReport {
  std::string container;
  std::string source;
  std::string destination;
  std::vector<StageReport> stages;
  std::vector<RoundReport> rounds;
  double pause_seconds = 0;  // from the first stopped task to the thaw on the destination
  double total_seconds = 0;
  uint64_t bytes = 0;
  uint64_t late_bytes = 0;                      // memory that followed after the thaw
  uint64_t wanted_pages = 0;                    // of it, that a task waited for
  std::optional<models::Prediction> predicted;  // before it began, by who asked for it
  std::string reason;                           // why this mode, if it was left open
};

// One JSON object; durations in seconds.
std::string to_json(const MigrationReport& report);

// What the stage that sends memory knows about the rest of its work.
struct Outlook {
  uint32_t round = 0;                   // of pre-copy, from 1; 0: none
  std::optional<uint64_t> remaining{};  // bytes that are still to be sent
  std::optional<double> dirty_rate{};   // bytes per second that the container changes
  std::optional<Nanoseconds> expected_pause{};
};

struct Progress {
  Stage stage;
  uint64_t bytes = 0;                      // sent in this stage
  uint64_t transferred = 0;                // sent in all stages so far
  double link_rate = 0;                    // bytes per second, lately
  std::optional<Nanoseconds> time_left{};  // until `remaining` is sent at this rate
  Outlook outlook{};
};

// Told about a migration as it proceeds, on the thread that runs it; must return at once.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_begin(const std::string& /*migration*/) {}
  virtual void on_progress(const Progress& progress) = 0;
  virtual void on_stage_done(const StageReport& stage) = 0;
};

}  // namespace martlet::migrate
