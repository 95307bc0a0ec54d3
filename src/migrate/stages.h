// The stages of a migration, in the order that reports list them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace martlet::migrate {

// Stages 3 and 5 overlap: the capture streams straight into the connection, and each is charged
// with the time it kept the other waiting. The second copy (4) comes before them in time, because
// the destination opens the files while the state arrives.
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
};
inline constexpr size_t kStageCount = 10;

std::string_view stage_name(Stage stage);

struct StageReport {
  Stage stage;
  double seconds = 0;
  uint64_t bytes = 0;  // sent to the destination in this stage
};

struct MigrationReport {
  std::string container;
  std::string source;
  std::string destination;
  std::vector<StageReport> stages;
  double pause_seconds = 0;  // from the first stopped task to the thaw on the destination
  double total_seconds = 0;
  uint64_t bytes = 0;
};

// One JSON object; durations in seconds.
std::string to_json(const MigrationReport& report);

struct Progress {
  Stage stage;
  uint64_t bytes = 0;
  uint64_t expected_bytes = 0;  // 0: not known
  double bytes_per_second = 0;
};

// Told about a migration as it proceeds, on the thread that runs it; must return at once.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_progress(const Progress& progress) = 0;
  virtual void on_stage_done(const StageReport& stage) = 0;
};

}  // namespace martlet::migrate
