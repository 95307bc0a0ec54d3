// This host and its containers, as migrations see them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/agent_config.h"
#include "agent/container_manager.h"
#include "agent/membership.h"
#include "migrate/host.h"

namespace martlet::agent {

// Thread-safe, as the ContainerManager and Membership below it are; both outlive it.
class MigrationHost final : public migrate::Host {
 public:
  MigrationHost(const AgentConfig& config, ContainerManager& manager, Membership& membership)
      : config_(config), manager_(manager), membership_(membership) {}

  const std::string& name() const override { return config_.name; }
  Result<std::unique_ptr<migrate::SourceContainer>> open_container(
      const std::string& name) override;
  Result<migrate::Endpoint> locate(const std::string& host) override;
  std::vector<std::string> problems_with(const std::string& record) override;
  std::string base_layer(const std::string& record) const override;
  std::string file_store() const override { return config_.state_dir; }
  Result<std::unique_ptr<migrate::ReservedContainer>> reserve(
      const std::string& record, const std::string& incarnation) override;
  Result<std::unique_ptr<migrate::ReservedContainer>> reopen_reserved(
      const std::string& name) override;
  void note_arriving(const std::string& name, const std::string& text) override {
    manager_.note_arriving(name, text);
  }
  Result<void> end_lost(const std::string& name, const std::string& incarnation,
                        const std::string& why) override {
    return manager_.end_lost(name, incarnation, why);
  }

 private:
  const AgentConfig& config_;
  ContainerManager& manager_;
  Membership& membership_;
};

}  // namespace martlet::agent
