#include "agent/predictor.h"

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>

#include "agent/host_costs.h"
#include "agent/migration_messages.h"
#include "agent/peer.grpc.pb.h"
#include "agent/prediction_messages.h"
#include "base/log.h"
#include "models/experience.h"

namespace martlet::agent {
namespace {

using models::MoveMode;

constexpr auto kCostsTimeout = std::chrono::seconds(2);

int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

models::MoveOptions to_model(const migrate::Options& options) {
  return {.max_pause = in_seconds(options.max_pause),
          .max_rounds = options.max_rounds,
          .stop_rule = options.stop_rule == migrate::StopRule::kCriterion1
                           ? models::StopRule::kCriterion1
                           : models::StopRule::kMaxPause,
          .bandwidth = static_cast<double>(options.bandwidth),
          .streams = options.streams,
          .hybrid_rounds = options.max_rounds};
}

migrate::Mode to_mode(MoveMode mode) {
  switch (mode) {
    case MoveMode::kStop: return migrate::Mode::kStop;
    case MoveMode::kPrecopy: return migrate::Mode::kPrecopy;
    case MoveMode::kPostcopy: return migrate::Mode::kPostcopy;
    case MoveMode::kHybrid: return migrate::Mode::kHybrid;
  }
  return migrate::Mode::kStop;
}

const models::Prediction* find_mode(const std::vector<models::Prediction>& predictions,
                                    migrate::Mode mode) {
  const auto found = std::ranges::find(predictions, mode, [](const models::Prediction& prediction) {
    return to_mode(prediction.mode);
  });
  return found == predictions.end() ? nullptr : &*found;
}

}  // namespace

Result<std::unique_ptr<Predictor>> Predictor::open(const AgentConfig& config,
                                                   const ContainerManager& manager,
                                                   const Membership& membership, LinkProbe probe) {
  auto history = TRY(MoveHistory::open(config.state_dir + "/moves.db"));
  return std::unique_ptr<Predictor>(
      new Predictor(config.state_dir, manager, membership, std::move(probe), std::move(history)));
}

Predictor::Predictor(const std::string& state_dir, const ContainerManager& manager,
                     const Membership& membership, LinkProbe probe,
                     std::unique_ptr<MoveHistory> history)
    : manager_(manager),
      membership_(membership),
      probe_(std::move(probe)),
      history_(std::move(history)),
      own_costs_(std::async(std::launch::async, [directory = state_dir] {
                   const SystemClock clock;
                   auto costs = measure_host_costs(directory, clock);
                   spdlog::debug("the costs of this host are measured");
                   return costs;
                 }).share()) {}

models::HostCosts Predictor::own_costs() const {
  return own_costs_.get();
}

// A host that does not tell is taken to be like this one.
models::HostCosts Predictor::costs_of(const std::string& host) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = costs_.find(host); known != costs_.end()) return known->second;
  }
  const auto ask = [&]() -> Result<HostCosts> {
    const auto channel = TRY(membership_.connect(TRY(membership_.find_host(host))));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCostsTimeout);
    HostCosts costs;
    const grpc::Status status = Peer::NewStub(channel)->Costs(&context, InfoRequest(), &costs);
    if (!status.ok()) return fail(Code::kPeerLost, status.error_message());
    return costs;
  };
  const auto answer = ask();
  if (!answer) return own_costs();
  const std::lock_guard lock(mutex_);
  return costs_[host] = from_message(*answer);
}

// Always measured anew: nothing tells when a link or its load has changed.
Result<models::LinkCosts> Predictor::link_to(const std::string& host) const {
  const migrate::LinkMeasurement link = TRY(probe_(host));
  return models::LinkCosts{.bytes_per_second = models::Bounds::exactly(link.bytes_per_second),
                           .round_trip = link.round_trip,
                           .connect = link.connect};
}

Result<Forecast> Predictor::forecast(const std::string& name, const std::string& host,
                                     const migrate::Options& options, Watch watch) {
  const auto container = TRY(manager_.find(name));
  if (container.init().value == 0) return fail(Code::kInvalidArgument, name + " does not run");
  Forecast forecast;
  forecast.link = TRY(link_to(host));
  forecast.sampled = TRY_IN(sample_load(container, watch, clock_), "container " + name);
  const models::MoveInputs inputs{.source = own_costs(),
                                  .destination = costs_of(host),
                                  .link = forecast.link,
                                  .container = forecast.sampled.load,
                                  .options = to_model(options)};
  for (const MoveMode mode : models::kMoveModes) {
    const auto past = TRY(history_->past_moves(name, host, mode));
    const models::Experience experience(past);
    forecast.modes.push_back(models::predict(mode, inputs, &experience));
    forecast.by_costs.push_back(models::predict(mode, inputs));
    forecast.past_moves = past.size();
  }
  return forecast;
}

Result<models::ModeChoice> Predictor::choose(const Forecast& forecast,
                                             const migrate::Options& options) {
  return models::choose_mode(forecast.modes, {.max_pause = in_seconds(options.max_pause),
                                              .max_time = in_seconds(options.max_time),
                                              .binding = options.limits_bind});
}

Result<MovePlan> Predictor::plan(const std::string& container, const std::string& host,
                                 const migrate::Options& options) {
  MovePlan plan{.options = options, .started_at_ms = now_ms()};
  migrate::Mode& mode = plan.options.mode;
  const Watch watch = mode == migrate::Mode::kStop ? Watch::kGlance : Watch::kShort;
  auto foretold = forecast(container, host, options, watch);
  if (!foretold) {
    spdlog::warn("container {}: its move to {} is not foretold: {}", container, host,
                 foretold.error().to_string());
    return plan;
  }
  plan.forecast = std::move(*foretold);
  if (mode == migrate::Mode::kAuto) {
    const models::ModeChoice choice =
        TRY_IN(choose(*plan.forecast, options), "container " + container);
    mode = to_mode(choice.prediction.mode);
    plan.reason = choice.reason;
  }
  if (const auto* prediction = find_mode(plan.forecast->modes, mode)) plan.prediction = *prediction;
  return plan;
}

void Predictor::record(const MovePlan& plan, const migrate::MigrationReport& report) {
  MoveRecord record;
  record.set_started_at_ms(plan.started_at_ms);
  *record.mutable_measured() = to_message(report);
  for (const migrate::RoundReport& round : report.rounds) *record.add_rounds() = to_message(round);
  if (plan.prediction) {
    record.set_mode(std::string(models::mode_name(plan.prediction->mode)));
    *record.mutable_inputs() = to_message(plan.forecast->sampled, plan.forecast->link);
    record.mutable_inputs()->set_past_moves(static_cast<uint32_t>(plan.forecast->past_moves));
    if (const auto* by_costs = find_mode(plan.forecast->by_costs, plan.options.mode))
      for (const models::StageEstimate& stage : by_costs->stages)
        record.add_modelled_seconds(stage.seconds.middle());
  }
  if (auto added = history_->add(record); !added)
    spdlog::warn("container {}: its move is not remembered: {}", report.container,
                 added.error().to_string());
}

}  // namespace martlet::agent
