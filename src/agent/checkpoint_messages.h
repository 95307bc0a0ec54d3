// What checkpoints and checks tell, as messages of the local API.
#pragma once

#include "agent/api.pb.h"
#include "checkpoint/check.h"
#include "checkpoint/directory.h"

namespace martlet::agent {

CheckpointReply to_message(const checkpoint::CheckpointReport& report);
CheckReply to_message(const checkpoint::GroupCheck& check);

// A value that this version does not know refuses.
engine::OutsidePeers to_engine(OutsidePeers peers);

}  // namespace martlet::agent
