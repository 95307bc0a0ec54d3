// What a migration will take, before it is made: time of every stage, pause, bytes and load on both
// hosts, each between a lower and an upper bound, for every mode.
//
// Sources: Mirkin 2008 (checkpoint and restore of a process group, network swap, stopping criterion
// I) and Aleksankov 2017 (cold, pre-copy, post-copy and hybrid without shared storage); the
// formulas are in docs/models.md. All values are SI: seconds, bytes, pages of S_page = 4096 bytes.
//
// Valid while the load of the container, the hosts and the link stays as it was when it was
// measured. Costs come from the hosts themselves (a self-test at the agent's start) and are
// corrected by what earlier moves took, see models/experience.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/bounds.h"
#include "models/precopy.h"
#include "models/working_set.h"

namespace martlet::models {

enum class MoveMode { kStop, kPrecopy, kPostcopy, kHybrid };
inline constexpr std::array kMoveModes = {MoveMode::kStop, MoveMode::kPrecopy, MoveMode::kPostcopy,
                                          MoveMode::kHybrid};
std::string_view mode_name(MoveMode mode);  // as on the command line

// The stages of a move in the order in which they happen.
enum class MoveStage {
  kCheck,
  kFirstCopy,
  kRounds,  // pre-copy and hybrid: memory is sent while the container runs
  kFreeze,
  kSecondCopy,
  kCapture,
  kTransfer,
  kRestore,
  kResume,
  kFetch,  // post-copy and hybrid: the rest follows while the container runs on the destination
  kStopSource,
  kRemoveSource,
};
inline constexpr size_t kMoveStages = 12;
std::string_view stage_name(MoveStage stage);  // as in the reports of migrations
// Whether the container stands still in this stage.
bool is_pause(MoveStage stage);

// What one host needs for each unit of work, in seconds, one processor, nothing else running.
struct HostCosts {
  double page_read = 0;        // t_rmem: copy a page out of another process
  double page_hash = 0;        // checksum of a page
  double page_encrypt = 0;     // or decrypt
  double page_socket = 0;      // through a socket, one direction
  double page_touch = 0;       // t_wmem: first touch of fresh memory
  double page_look = 0;        // find out whether a page has changed
  double task_stop = 0;        // stop a thread and take it over
  double task_read = 0;        // what /proc and the registers of a thread say
  double mapping_read = 0;     // describe one mapping
  double descriptor_read = 0;  // duplicate and describe one descriptor
  double connection_read = 0;  // read the options of one TCP connection
  double group_freeze = 0;     // stop a group, however small it is
  double group_capture = 0;    // read its state, apart from what is above
  double fork = 0;             // t_fork: a child that ends at once, with its collection
  double sandbox_start = 0;    // one call of the OCI runtime
  double copy_start = 0;       // one start of the program that copies files
  double file_compare = 0;     // look at one file's attributes
  double durable_write = 0;    // a small file replaced and synced
  uint32_t cores = 1;
};

struct LinkCosts {
  Bounds bytes_per_second;  // V_net/U_net of one connection: at the measured load, and without it
  double round_trip = 0;
  double connect = 0;  // to open one more encrypted connection
};

struct FileLoad {
  double bytes = 0;  // S_disk
  double files = 0;
  double changed_files = 0;  // A: files changed per second
  double written_bytes = 0;  // per second
};

struct ContainerLoad {
  double processes = 0;  // n
  double threads = 0;
  double mappings = 0;
  double descriptors = 0;
  double connections = 0;   // of TCP, established
  double first_pages = 0;   // l·n: pages that must be there before the first instruction
  double shared_pages = 0;  // of K, that the pause compares with what the rounds have sent
  // Of K, those that cannot come after the thaw: private ones of file mappings.
  WorkingSetCurve file_memory{0};
  WorkingSetCurve memory{0};  // K pages with content that is not zero, shared ones counted once
  FileLoad files;
};

struct MoveOptions {
  double max_pause = 0.05;
  uint32_t max_rounds = 30;
  StopRule stop_rule = StopRule::kMaxPause;
  double bandwidth = 0;    // bytes per second; 0: no limit
  uint32_t streams = 1;    // connections that carry the state
  double compression = 1;  // bytes sent for each byte of memory, <= 1
  uint32_t hybrid_rounds = 1;
};

struct MoveInputs {
  HostCosts source;
  HostCosts destination;
  LinkCosts link;
  ContainerLoad container;
  MoveOptions options;
};

struct StageEstimate {
  MoveStage stage;
  Bounds seconds;
  Bounds bytes;
};

struct Overhead {
  Bounds cpu_seconds;
  Bounds memory_bytes;  // held beyond what the container needs
};

struct Prediction {
  MoveMode mode = MoveMode::kStop;
  std::array<StageEstimate, kMoveStages> stages{};
  Bounds pause;
  Bounds total;
  Bounds bytes;
  Overhead source;
  Overhead destination;
  Bounds rounds;
  Rounds::Converges converges = Rounds::Converges::kYes;
  double fixed_pause = 0;   // upper bound of the pause without any page to send
  Bounds demand_faults;     // post-copy: pages that the container has to wait for
  Bounds slowdown_seconds;  // that the container loses while it runs: faults, write protection

  const StageEstimate& at(MoveStage stage) const { return stages[static_cast<size_t>(stage)]; }
  StageEstimate& at(MoveStage stage) { return stages[static_cast<size_t>(stage)]; }
};

// How the hosts' own experience changes the estimates; see models/experience.h.
class Correction {
 public:
  virtual ~Correction() = default;
  virtual Bounds stage(MoveMode mode, MoveStage stage, const Bounds& seconds) const = 0;
  // `sum` is that of the corrected stages.
  virtual Bounds pause(MoveMode mode, const Bounds& sum) const = 0;
  virtual Bounds total(MoveMode mode, const Bounds& sum) const = 0;
};

// The estimate as the costs alone give it, or corrected.
Prediction predict(MoveMode mode, const MoveInputs& inputs, const Correction* correction = nullptr);

}  // namespace martlet::models
