// What the engine tells about migrations, as messages of the API.
#pragma once

#include "agent/api.pb.h"
#include "migrate/preflight.h"
#include "migrate/stages.h"

namespace martlet::agent {

MigrationStage to_message(const migrate::StageReport& report);
MigrationRound to_message(const migrate::RoundReport& round);
MigrationSummary to_message(const migrate::MigrationReport& report);
MigrationProgress to_message(const migrate::Progress& progress);
MigrationPlan to_message(const migrate::Feasibility& feasibility);

}  // namespace martlet::agent
