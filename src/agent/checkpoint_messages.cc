#include "agent/checkpoint_messages.h"

namespace martlet::agent {

CheckpointReply to_message(const checkpoint::CheckpointReport& report) {
  CheckpointReply reply;
  reply.set_processes(report.stats.processes);
  reply.set_threads(report.stats.threads);
  reply.set_memory_bytes(report.stats.memory_bytes);
  reply.set_freeze_seconds(report.stats.freeze_seconds);
  reply.set_capture_seconds(report.stats.capture_seconds);
  reply.set_frozen_seconds(report.frozen_seconds);
  reply.set_image_bytes(report.image_bytes);
  return reply;
}

CheckReply to_message(const checkpoint::GroupCheck& check) {
  CheckReply reply;
  reply.mutable_blockers()->Assign(check.blockers.begin(), check.blockers.end());
  reply.set_processes(check.stats.processes);
  reply.set_threads(check.stats.threads);
  reply.set_files(check.stats.files);
  reply.set_frozen_seconds(check.frozen_seconds);
  return reply;
}

engine::OutsidePeers to_engine(OutsidePeers peers) {
  switch (peers) {
    case OUTSIDE_PEERS_CLOSE: return engine::OutsidePeers::kClose;
    case OUTSIDE_PEERS_RECONNECT: return engine::OutsidePeers::kReconnect;
    default: return engine::OutsidePeers::kRefuse;
  }
}

}  // namespace martlet::agent
