// Predictions, their inputs and costs as messages.
#pragma once

#include "agent/api.pb.h"
#include "agent/container_load.h"
#include "agent/prediction.pb.h"
#include "migrate/stages.h"
#include "models/migration.h"

namespace martlet::agent {

Prediction to_message(const models::Prediction& prediction);
HostCosts to_message(const models::HostCosts& costs);
models::HostCosts from_message(const HostCosts& costs);
PredictionInputs to_message(const SampledLoad& sampled, const models::LinkCosts& link);

// A number from a peer or a file: finite and not negative, else 0.
double sane(double value);

}  // namespace martlet::agent
