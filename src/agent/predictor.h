// Foretells what a move of a container would take, in every mode, and decides for a caller who
// leaves the mode open.
//
// It gathers what the hosts have measured (costs of either, the link, the container's load, earlier
// moves) and asks the models; nothing here computes. All functions may be called from any thread;
// plan() and forecast() block for as long as the container is watched and the link probed.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent_config.h"
#include "agent/container_load.h"
#include "agent/container_manager.h"
#include "agent/membership.h"
#include "agent/move_history.h"
#include "migrate/link_probe.h"
#include "migrate/options.h"
#include "migrate/stages.h"
#include "models/mode_choice.h"

namespace martlet::agent {

// Everything about the moves of one container to one host.
struct Forecast {
  SampledLoad sampled;
  models::LinkCosts link;
  std::vector<models::Prediction> modes;     // in the order of models::kMoveModes
  std::vector<models::Prediction> by_costs;  // the same without the correction by earlier moves
  size_t past_moves = 0;
};

// What a move will do, decided and foretold before it begins.
struct MovePlan {
  migrate::Options options;  // with the mode decided
  std::string reason{};      // if the mode was left open
  int64_t started_at_ms = 0;
  std::optional<Forecast> forecast{};              // none: it could not be foretold
  std::optional<models::Prediction> prediction{};  // of the mode
};

class Predictor {
 public:
  using LinkProbe = std::function<Result<migrate::LinkMeasurement>(const std::string& host)>;

  // The self-test begins, in the background. The references outlive it.
  static Result<std::unique_ptr<Predictor>> open(const AgentConfig& config,
                                                 const ContainerManager& manager,
                                                 const Membership& membership, LinkProbe probe);

  // Costs of this host; waits for the self-test.
  models::HostCosts own_costs() const;

  Result<Forecast> forecast(const std::string& container, const std::string& host,
                            const migrate::Options& options, Watch watch);
  // For a mode that was left open: see models::choose_mode().
  static Result<models::ModeChoice> choose(const Forecast& forecast,
                                           const migrate::Options& options);

  // Before a move. What cannot be foretold goes on without, with the mode as it is. kUnsupported if
  // the mode is left open and none fits.
  Result<MovePlan> plan(const std::string& container, const std::string& host,
                        const migrate::Options& options);
  // After it: keeps what was foretold and what was measured.
  void record(const MovePlan& plan, const migrate::MigrationReport& report);

  const MoveHistory& history() const { return *history_; }

 private:
  Predictor(const std::string& state_dir, const ContainerManager& manager,
            const Membership& membership, LinkProbe probe, std::unique_ptr<MoveHistory> history);
  models::HostCosts costs_of(const std::string& host);
  Result<models::LinkCosts> link_to(const std::string& host) const;

  const ContainerManager& manager_;
  const Membership& membership_;
  const LinkProbe probe_;
  const std::unique_ptr<MoveHistory> history_;
  SystemClock clock_;
  std::shared_future<models::HostCosts> own_costs_;
  std::mutex mutex_;                                // of costs_
  std::map<std::string, models::HostCosts> costs_;  // of other hosts
};

}  // namespace martlet::agent
