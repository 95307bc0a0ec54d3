// Calls of the local API that foretell moves and remember them.
#include "agent/local_service.h"
#include "agent/migration_options.h"
#include "agent/prediction_messages.h"
#include "agent/predictor.h"
#include "agent/rpc_status.h"

namespace martlet::agent {
namespace {

void fill(const Forecast& forecast, const migrate::Options& options, HostPrediction& reply) {
  *reply.mutable_inputs() = to_message(forecast.sampled, forecast.link);
  reply.mutable_inputs()->set_past_moves(static_cast<uint32_t>(forecast.past_moves));
  for (const models::Prediction& prediction : forecast.modes)
    *reply.add_modes() = to_message(prediction);
  const auto choice = Predictor::choose(forecast, options);
  if (choice) reply.set_chosen_mode(std::string(models::mode_name(choice->prediction.mode)));
  reply.set_reason(choice ? choice->reason : choice.error().to_string());
}

}  // namespace

grpc::Status LocalService::Predict(grpc::ServerContext*, const PredictRequest* request,
                                   PredictReply* reply) {
  const auto predict = [&]() -> Result<void> {
    const auto options = TRY(to_options(request->options()));
    TRY(manager_.find(request->name()));
    std::vector<Host> hosts;
    if (request->host().empty())
      hosts = TRY(membership_.hosts());
    else
      hosts.push_back(TRY(membership_.find_host(request->host())));
    for (const Host& host : hosts) {
      HostPrediction& prediction = *reply->add_hosts();
      prediction.set_host(host.name());
      const auto forecast =
          migrations_.predictor().forecast(request->name(), host.name(), options, Watch::kLong);
      if (!forecast && !request->host().empty()) return std::unexpected(forecast.error());
      if (forecast)
        fill(*forecast, options, prediction);
      else
        prediction.set_problem(forecast.error().to_string());
    }
    return {};
  };
  return to_status(predict());
}

grpc::Status LocalService::MigrationHistory(grpc::ServerContext*, const HistoryRequest* request,
                                            HistoryReply* reply) {
  const auto moves = migrations_.predictor().history().list(request->name(), request->limit());
  if (moves)
    for (const MoveRecord& move : *moves) *reply->add_moves() = move;
  return to_status(moves);
}

}  // namespace martlet::agent
