#include "agent/host_info.h"

#include "sys/host_features.h"

namespace martlet::agent {

Result<HostInfo> gather_host_info(const AgentConfig& config, const std::string& peer_address) {
  HostInfo info;
  info.set_name(config.name);
  info.set_version(kVersion);
  info.set_kernel(sys::kernel_release());
  info.set_peer_address(peer_address);
  for (const std::string& feature : sys::kernel_features()) info.add_kernel_features(feature);
  for (const std::string& feature : TRY(sys::cpu_features())) info.add_cpu_features(feature);
  info.set_memory_free_bytes(TRY(sys::available_memory()));
  info.set_disk_free_bytes(TRY(sys::available_disk(config.state_dir)));
  return info;
}

}  // namespace martlet::agent
