#include "agent/move_history.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/prediction_messages.h"
#include "base/log.h"

namespace martlet::agent {
namespace {

constexpr const char* kPrefix = "moves/";
constexpr size_t kTeaching = 50;  // older moves weigh nothing

// Sorts by time; the container makes it unique, because it is moved once at a time.
std::string key_of(const MoveRecord& move) {
  return fmt::format("{}{:016}/{}", kPrefix, move.started_at_ms(), move.measured().container());
}

double measured_seconds(const MoveRecord& move, models::MoveStage stage) {
  for (const MigrationStage& measured : move.measured().stages())
    if (measured.name() == models::stage_name(stage)) return sane(measured.seconds());
  return 0;
}

models::PastMove to_past(const MoveRecord& move) {
  models::PastMove past;
  for (size_t i = 0; i < models::kMoveStages; ++i) {
    if (static_cast<int>(i) < move.modelled_seconds_size())
      past.modelled[i] = sane(move.modelled_seconds(static_cast<int>(i)));
    past.measured[i] = measured_seconds(move, static_cast<models::MoveStage>(i));
  }
  past.pause = sane(move.measured().pause_seconds());
  past.total = sane(move.measured().total_seconds());
  return past;
}

}  // namespace

Result<std::unique_ptr<MoveHistory>> MoveHistory::open(const std::string& path) {
  auto store = TRY(cluster::SqliteStore::open(path));
  return std::unique_ptr<MoveHistory>(new MoveHistory(std::move(store)));
}

Result<void> MoveHistory::add(const MoveRecord& move) {
  TRY(store_->put(key_of(move), move.SerializeAsString()));
  const auto all = TRY(store_->list(kPrefix));
  for (size_t i = 0; i + kKept < all.size(); ++i) TRY(store_->erase(all[i].key));
  return {};
}

Result<std::vector<MoveRecord>> MoveHistory::list(const std::string& container,
                                                  size_t limit) const {
  auto stored = TRY(store_->list(kPrefix));
  std::ranges::reverse(stored);
  std::vector<MoveRecord> moves;
  for (const cluster::StoredRecord& record : stored) {
    if (limit > 0 && moves.size() == limit) break;
    MoveRecord move;
    if (!move.ParseFromString(record.value)) {
      spdlog::warn("history of moves: the record {} is damaged", record.key);
      continue;
    }
    if (container.empty() || move.measured().container() == container)
      moves.push_back(std::move(move));
  }
  return moves;
}

Result<std::vector<models::PastMove>> MoveHistory::past_moves(const std::string& container,
                                                              const std::string& destination,
                                                              models::MoveMode mode) const {
  std::vector<models::PastMove> past;
  for (const MoveRecord& move : TRY(list("", kTeaching))) {
    past.push_back(to_past(move));
    past.back().age = static_cast<uint32_t>(past.size() - 1);
    past.back().likeness = {.same_mode = move.mode() == models::mode_name(mode),
                            .same_container = move.measured().container() == container,
                            .same_destination = move.measured().destination() == destination};
  }
  return past;
}

}  // namespace martlet::agent
